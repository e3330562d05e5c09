//! A provider that is ready to be called: its client, limits and protocol options.

use crate::{
    error::Error,
    failure::{Failure, Key},
    prices::StructuredBy,
    settings::{OutputLimit, Provider, Secret, Settings, Wire},
    slots::Slots,
    transport::Transport,
};
use async_openai::config::OpenAIConfig;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderName, HeaderValue};
use reqwest::Url;
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

/// A provider that is ready to be called.
pub(crate) struct ReadyProvider {
    client: Result<(async_openai::Client<OpenAIConfig>, Transport), String>,
    pub(crate) slots: Slots,
    pub(crate) rate: Option<DefaultDirectRateLimiter>,
    pub(crate) stream: bool,
    pub(crate) wire: Wire,
    pub(crate) output_limit: OutputLimit,
    pub(crate) structured: Option<StructuredBy>,
    api_key: Option<Secret>,
    api_key_env: String,
    needs_key: bool,
}

impl ReadyProvider {
    /// Checks a provider's settings and builds its client. Sends nothing.
    pub(crate) fn new(name: &str, provider: &Provider, settings: &Settings) -> Result<Self, Error> {
        let problem = |problem: String| Error::Settings {
            provider: name.to_owned(),
            problem,
        };
        let address = address(&provider.base_url).map_err(problem)?;
        let is_local = is_loopback(&address);
        let api_key = provider.api_key.clone().filter(|key| !key.expose().is_empty());
        register(api_key.iter().chain(provider.extra_headers.values()));
        let config = config(&address, provider, api_key.as_ref()).map_err(problem)?;
        let keyed = api_key.is_some();
        if keyed && !is_local && address.scheme() == "http" {
            tracing::warn!(
                provider = name,
                "the API key goes over an unencrypted connection; use https://"
            );
        }
        let client = http_client(&address, is_local, settings).map(|client| {
            let transport = Transport {
                client,
                keyed,
                stream: provider.stream,
                header_timeout: provider.stream.then_some(settings.timeouts.header),
                max_answer_bytes: settings.max_answer_bytes,
                max_line_bytes: settings.max_line_bytes,
                broken: Arc::default(),
            };
            (async_openai::Client::with_config(config), transport)
        });
        Ok(Self {
            client,
            slots: Slots::new(provider.concurrency.get()),
            rate: provider
                .requests_per_minute
                .map(|limit| RateLimiter::direct(Quota::per_minute(limit))),
            stream: provider.stream,
            wire: provider.wire,
            output_limit: provider.output_limit.unwrap_or_else(|| usual_output_limit(&address)),
            structured: provider.structured,
            needs_key: !is_local && provider.extra_headers.is_empty(),
            api_key,
            api_key_env: provider.api_key_env.clone(),
        })
    }

    /// The client, if the provider can be called. Local servers and those with extra headers need no key.
    ///
    /// A client that can't be built (without root certificates, for example) is an error only here, so that it does not
    /// affect runs that never call this provider.
    pub(crate) fn client(&self, name: &str) -> Result<Client<'_>, Error> {
        if self.needs_key && self.api_key.is_none() {
            return Err(Error::MissingKey {
                provider: name.to_owned(),
                variable: self.api_key_env.clone(),
            });
        }
        match &self.client {
            Ok((library, transport)) => Ok(Client { library, transport }),
            Err(problem) => Err(Error::Settings {
                provider: name.to_owned(),
                problem: problem.clone(),
            }),
        }
    }

    /// The key, which error texts must not contain.
    pub(crate) fn key(&self) -> Key<'_> {
        Key {
            secret: self.api_key.as_ref(),
            variable: &self.api_key_env,
        }
    }
}

/// The client of a provider that can be called.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    library: &'a async_openai::Client<OpenAIConfig>,
    transport: &'a Transport,
}

impl Client<'_> {
    /// The library's client for one attempt, and the cell for the failure that broke its stream.
    pub(crate) fn for_attempt(&self) -> (async_openai::Client<OpenAIConfig>, Arc<OnceLock<Failure>>) {
        let broken = Arc::<OnceLock<Failure>>::default();
        let transport = Transport {
            broken: Arc::clone(&broken),
            ..self.transport.clone()
        };
        (self.library.clone().with_http_service(transport), broken)
    }
}

fn register<'a>(secrets: impl Iterator<Item = &'a Secret>) {
    secrets.for_each(|secret| {
        telemetry::secrets::register_secret(secret.expose().to_owned());
    });
}

/// Parses the address. Error texts never show it, because it may hold credentials.
fn address(base_url: &str) -> Result<Url, String> {
    let address = Url::parse(base_url.trim().trim_end_matches('/'))
        .map_err(|error| format!("its base_url is not a URL ({error}); write it like https://host/v1"))?;
    if !matches!(address.scheme(), "http" | "https") || address.host_str().is_none() {
        return Err("its base_url must start with http:// or https:// and name a host".into());
    }
    if !address.username().is_empty() || address.password().is_some() || address.query().is_some() {
        return Err("its base_url holds credentials or a query; set the key in its environment variable".into());
    }
    Ok(address)
}

fn is_loopback(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn usual_output_limit(address: &Url) -> OutputLimit {
    match address.host_str() {
        Some(host) if host == "api.openai.com" || host.ends_with(".openai.azure.com") => {
            OutputLimit::MaxCompletionTokens
        }
        _ => OutputLimit::MaxTokens,
    }
}

fn config(address: &Url, provider: &Provider, api_key: Option<&Secret>) -> Result<OpenAIConfig, String> {
    let key = api_key.map(Secret::expose).unwrap_or_default();
    // The library builds this header itself, and panics if it is invalid.
    if HeaderValue::from_str(&format!("Bearer {key}")).is_err() {
        return Err(format!(
            "its API key has characters that are not allowed in a header; check {}",
            provider.api_key_env
        ));
    }
    // Set organisation and project, so that the library does not read them from the environment.
    let mut config = OpenAIConfig::new()
        .with_api_base(address.as_str().trim_end_matches('/'))
        .with_api_key(key)
        .with_org_id("")
        .with_project_id("");
    for (header, value) in &provider.extra_headers {
        let bad = || format!("the extra header `{header}` can't be sent; check its name and value");
        let name = header.parse::<HeaderName>().map_err(|_| bad())?;
        config = config.with_header(name, value.expose()).map_err(|_| bad())?;
    }
    Ok(config)
}

fn http_client(address: &Url, is_local: bool, settings: &Settings) -> Result<reqwest::Client, String> {
    // Needed once per process; it may be installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(settings.timeouts.connect)
        // A redirect would send the conversation, and perhaps the key, to an address that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("agent-orchestrator/", env!("CARGO_PKG_VERSION")));
    if is_local {
        builder = builder.no_proxy();
    }
    if address.scheme() == "http" {
        // Without this, a machine without root certificates could not call a local server.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        format!(
            "its HTTP client can't be built ({})",
            crate::failure::root_cause(&error)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ready(provider: Provider) -> Result<ReadyProvider, Error> {
        let settings = Settings::new(BTreeMap::new()).unwrap();
        ReadyProvider::new("mine", &provider, &settings)
    }

    #[test]
    fn only_local_providers_need_no_key() {
        for local in ["http://127.0.0.1:1/v1", "http://localhost:1", "http://[::1]:1/v1/"] {
            ready(Provider::new(local, None)).unwrap().client("mine").unwrap();
        }
        let remote = ready(Provider::new("http://models.example.test/v1", None)).unwrap();
        let error = remote.client("mine").err().unwrap().to_string();
        assert!(error.contains("mine") && error.contains("OPENAI_API_KEY"), "{error}");
    }

    #[test]
    fn invalid_address_key_or_header_is_rejected_without_showing_it() {
        let header = |name: &str, value: &str| Provider {
            extra_headers: BTreeMap::from([(name.to_owned(), Secret::new(value))]),
            ..Provider::new("http://127.0.0.1:1", None)
        };
        for provider in [
            Provider::new("secret-host", None),
            Provider::new("ftp://secret-host", None),
            Provider::new("http://user:secret@127.0.0.1", None),
            Provider::new("http://127.0.0.1/v1?key=secret", None),
            Provider::new("http://127.0.0.1", Some(Secret::new("secret\nkey"))),
            header("a header", "x"),
            header("x-header", "secret\r\nvalue"),
        ] {
            let error = ready(provider).err().unwrap().to_string();
            assert!(error.contains("mine") && !error.contains("secret"), "{error}");
        }
    }
}
