//! Who may ask: requests meant for another host, sent by another site's page, or without the token are refused
//! before anything else is looked at.

use crate::{problem::Refusal, settings::Settings};
use api::Problem;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What requests are checked against.
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

    /// A page of a foreign site can make its own name point here; then its name is what the request asks for.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
        let text = match headers.get(header::HOST) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => uri.authority().map_or("", Authority::as_str),
        };
        match text.parse::<Authority>() {
            Ok(authority) if self.is_ours(authority.host()) => Ok(authority),
            Ok(_) | Err(_) => Err(Problem::new(
                403,
                "foreign-host",
                "This request is meant for another host",
                "the Host header does not name this server",
            )
            .field("Host")
            .value(text)
            .hint("ask for 127.0.0.1 or localhost, or add the name to the server's allowed hosts")
            .into()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            // Nobody's page is served under an address that is ours; where we listen on all of them, each may be.
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
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match given {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err(unauthorized("the token is not the one of this server")),
            None => Err(unauthorized("this server asks for a token, and the request bears none")),
        }
    }
}

fn unauthorized(detail: &str) -> Refusal {
    Problem::new(401, "unauthorized", "A token is needed", detail)
        .hint("send the header Authorization: Bearer TOKEN")
        .into()
}

/// A browser names the site whose page sends a request. Only our own pages may.
fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let text = origin.to_str().unwrap_or_default();
    let same = text
        .parse::<Uri>()
        .ok()
        .and_then(|origin| origin.authority().cloned())
        .is_some_and(|origin| origin.as_str().eq_ignore_ascii_case(host.as_str()));
    if same {
        return Ok(());
    }
    Err(Problem::new(
        403,
        "foreign-origin",
        "This request comes from another site",
        "pages of other sites may not ask this server",
    )
    .field("Origin")
    .value(text)
    .into())
}

/// Lets a request through or answers it here.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Result<Response, Refusal> {
    guard.check(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;
    use axum::http::HeaderValue;

    fn guard(settings: Settings, listen: &str) -> Guard {
        Guard::new(settings, listen.parse().unwrap())
    }

    fn status(guard: &Guard, path: &str, headers: &[(header::HeaderName, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        match guard.check(&path.parse().unwrap(), &map) {
            Ok(()) => 200,
            Err(refusal) => refusal.0.status,
        }
    }

    #[test]
    fn only_names_of_this_server_are_answered() {
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
            "192.168.1.9",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert_eq!(status(&guard, "/runs", &[(header::HOST, host)]), 403, "{host}");
        }
        assert_eq!(status(&guard, "/runs", &[]), 403);
    }

    #[test]
    fn only_our_own_pages_may_ask() {
        let guard = guard(Settings::default(), "127.0.0.1:8000");
        let asked = |origin| {
            status(
                &guard,
                "/runs",
                &[(header::HOST, "127.0.0.1:8000"), (header::ORIGIN, origin)],
            )
        };
        assert_eq!(asked("http://127.0.0.1:8000"), 200);
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
    fn a_token_is_asked_for_everywhere_but_for_health() {
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
        for wrong in ["Bearer secre", "Bearer secrets", "Basic secret", "secret", "Bearer"] {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
    }
}
