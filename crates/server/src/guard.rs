//! Access: rejects requests for another host, from another site, or without the token.

use crate::{problem::Refusal, settings::Settings};
use api::Problem;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The checks of every request.
#[derive(Debug)]
pub(crate) struct Guard {
    settings: Settings,
    listen: SocketAddr,
}

impl Guard {
    pub(crate) fn new(settings: Settings, listen: SocketAddr) -> Self {
        Self { settings, listen }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.check_host(uri, headers)?;
        check_origin(headers, &host)?;
        if uri.path() == "/healthz" {
            return Ok(());
        }
        self.check_token(headers)
    }

    /// Checks the Host header, because a foreign site can make its name resolve to this server (DNS rebinding). If the
    /// request line names a host too, both must agree, so that a proxy can't have read another one.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
        let mut values = headers.get_all(header::HOST).iter();
        let text = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().unwrap_or_default(),
            (None, _) => return Err(not_one_host("the request has no Host header")),
            (Some(_), Some(_)) => return Err(not_one_host("the request has more than one Host header")),
        };
        let host = authority(text).ok_or_else(|| {
            Refusal::from(
                Problem::new(
                    400,
                    "invalid-host",
                    "The request names no host",
                    "the Host header is not a host with or without a port",
                )
                .field("Host")
                .value(text)
                .hint("send one Host header, such as 127.0.0.1:8000"),
            )
        })?;
        if !self.is_ours(host.host()) {
            return Err(foreign("Host", text, "the Host header does not name this server"));
        }
        if let Some(target) = uri.authority() {
            let is_plain = uri.scheme_str().is_none_or(|scheme| scheme == "http");
            if !is_plain || !target.as_str().eq_ignore_ascii_case(host.as_str()) {
                let target = uri.to_string();
                return Err(foreign(
                    "request target",
                    &target,
                    "the request line names another host",
                ));
            }
        }
        Ok(host)
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            // A foreign site can't use an address of this server as its name.
            return ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified();
        }
        host == "localhost"
            || self
                .settings
                .allowed_hosts
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(&host))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.settings.token else {
            return Ok(());
        };
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let given = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            (None, _) | (Some(_), Some(_)) => None,
        };
        let given = given.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match given {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err(unauthorized("the token is wrong")),
            None => Err(unauthorized("this server requires a token, and the request has none")),
        }
    }
}

fn unauthorized(detail: &str) -> Refusal {
    Problem::new(401, "unauthorized", "A token is needed", detail)
        .hint("send the header Authorization: Bearer TOKEN")
        .into()
}

/// A host with an optional valid port, without a user.
fn authority(text: &str) -> Option<Authority> {
    let authority = text.parse::<Authority>().ok()?;
    let after_host = text.strip_prefix(authority.host())?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_whole = after_host.is_empty() || after_host.strip_prefix(':').is_some_and(is_port);
    (is_whole && !authority.host().is_empty()).then_some(authority)
}

fn not_one_host(detail: &str) -> Refusal {
    Problem::new(400, "invalid-host", "The request names no host", detail)
        .field("Host")
        .hint("send one Host header, such as 127.0.0.1:8000")
        .into()
}

fn foreign(field: &str, value: &str, detail: &str) -> Refusal {
    Problem::new(403, "foreign-host", "The request names another host", detail)
        .field(field)
        .value(value)
        .hint("use 127.0.0.1 or localhost, or add the name to server.allowed_hosts in the configuration")
        .into()
}

/// Checks the Origin header: of all sites, only this server's pages may send requests.
fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        let origin = origin.as_ref().and_then(Uri::authority);
        origin.is_some_and(|origin| origin.as_str().eq_ignore_ascii_case(host.as_str()))
    };
    let Some(foreign) = headers.get_all(header::ORIGIN).iter().find(|origin| !is_own(origin)) else {
        return Ok(());
    };
    let text = foreign.to_str().unwrap_or_default();
    Err(Problem::new(
        403,
        "foreign-origin",
        "The request comes from another site",
        "this server does not accept requests from pages of other sites",
    )
    .field("Origin")
    .value(text)
    .into())
}

/// Rejects requests that fail a check.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Result<Response, Refusal> {
    guard.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn guard(settings: Settings, listen: &str) -> Guard {
        Guard::new(settings, listen.parse().unwrap())
    }

    fn status(guard: &Guard, path: &str, headers: &[(header::HeaderName, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        match guard.check(&path.parse().unwrap(), &map) {
            Ok(()) => 200,
            Err(refusal) => refusal.0.status,
        }
    }

    #[test]
    fn only_hosts_of_this_server_are_accepted() {
        let settings = Settings {
            allowed_hosts: vec!["host.docker.internal".into()],
            ..Settings::default()
        };
        let guard = guard(settings, "127.0.0.1:8000");
        for host in [
            "localhost:8000",
            "LOCALHOST",
            "127.0.0.1:8000",
            "127.0.0.2",
            "[::1]:8000",
            "host.docker.internal:8000",
        ] {
            assert_eq!(status(&guard, "/runs", &[(header::HOST, host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "localhost..",
            "192.168.1.9",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "localhost,evil.example",
        ] {
            assert_eq!(status(&guard, "/runs", &[(header::HOST, host)]), 403, "{host}");
        }
        for host in [
            "",
            "a b",
            "user@localhost",
            "localhost@evil.example",
            "localhost:",
            "localhost:99999",
            "localhost:80:80",
            "localhost:+80",
            "http://localhost",
            "localhost/",
            "[::1",
        ] {
            assert_eq!(status(&guard, "/runs", &[(header::HOST, host)]), 400, "{host}");
        }
        assert_eq!(status(&guard, "/runs", &[]), 400);
        let twice = [(header::HOST, "localhost"), (header::HOST, "localhost")];
        assert_eq!(status(&guard, "/runs", &twice), 400);
    }

    #[test]
    fn request_line_and_header_must_name_the_same_host() {
        let guard = guard(Settings::default(), "127.0.0.1:8000");
        let asked = |target: &str, host: &str| status(&guard, target, &[(header::HOST, host)]);
        assert_eq!(asked("http://127.0.0.1:8000/runs", "127.0.0.1:8000"), 200);
        for target in [
            "http://evil.example/runs",
            "http://127.0.0.1:9/runs",
            "http://user@127.0.0.1:8000/runs",
            "https://127.0.0.1:8000/runs",
            "evil.example:80",
        ] {
            assert_eq!(asked(target, "127.0.0.1:8000"), 403, "{target}");
        }
    }

    #[test]
    fn only_own_origin_is_accepted() {
        let guard = guard(Settings::default(), "127.0.0.1:8000");
        let asked = |origin| {
            status(
                &guard,
                "/runs",
                &[(header::HOST, "127.0.0.1:8000"), (header::ORIGIN, origin)],
            )
        };
        assert_eq!(asked("http://127.0.0.1:8000"), 200);
        let twice = [
            (header::HOST, "127.0.0.1:8000"),
            (header::ORIGIN, "http://127.0.0.1:8000"),
            (header::ORIGIN, "http://evil.example"),
        ];
        assert_eq!(status(&guard, "/runs", &twice), 403);
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:3000",
            "http://localhost:8000",
            "null",
            "",
        ] {
            assert_eq!(asked(origin), 403, "{origin}");
        }
    }

    #[test]
    fn every_path_except_health_needs_the_token() {
        let settings = Settings {
            token: Some(Token::new("secret")),
            ..Settings::default()
        };
        let guard = guard(settings, "0.0.0.0:8000");
        let host = (header::HOST, "10.0.0.5:8000");
        assert_eq!(status(&guard, "/healthz", std::slice::from_ref(&host)), 200);
        assert_eq!(status(&guard, "/metrics", std::slice::from_ref(&host)), 401);
        let with = |value| status(&guard, "/metrics", &[host.clone(), (header::AUTHORIZATION, value)]);
        assert_eq!(with("Bearer secret"), 200);
        assert_eq!(with("bearer  secret"), 200);
        let twice = [
            host.clone(),
            (header::AUTHORIZATION, "Bearer secret"),
            (header::AUTHORIZATION, "Bearer secret"),
        ];
        assert_eq!(status(&guard, "/metrics", &twice), 401);
        for wrong in ["Bearer secre", "Bearer secrets", "Basic secret", "secret", "Bearer"] {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
    }
}
