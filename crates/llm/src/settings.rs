//! Settings of providers, timeouts and retries.

use crate::{
    error::Error,
    prices::{Prices, StructuredBy},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// The provider that the environment alone configures.
pub const DEFAULT_PROVIDER: &str = "openai";
/// The address of that provider, unless the environment sets another.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// A text that never appears in logs, errors or debug output. Its memory is zeroed when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the code that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

/// Which protocol a provider speaks; it is configured, never guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// OpenAI's Chat Completions, and everything that speaks it.
    #[default]
    ChatCompletions,
}

/// The field that limits an answer's tokens in Chat Completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// The field that OpenAI's models use.
    MaxCompletionTokens,
    /// The field that most other servers use.
    MaxTokens,
}

/// A provider as the configuration file writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The address without `/chat/completions`.
    pub base_url: String,
    /// The environment variable that holds the key; `<NAME>_API_KEY` if absent.
    pub api_key_env: Option<String>,
    /// Requests per minute, including retries; no limit if absent.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Concurrent requests; 16 if absent.
    pub concurrency: Option<NonZeroUsize>,
    /// Whether answers are streamed; true if absent.
    pub stream: Option<bool>,
    /// Headers sent with every request.
    #[serde(default)]
    pub extra_headers: BTreeMap<String, String>,
    /// Which protocol it speaks.
    #[serde(default)]
    pub wire: Wire,
    /// The field that limits an answer's tokens; chosen by its address if absent.
    pub output_limit: Option<OutputLimit>,
    /// How to request an answer that follows a schema; chosen by the model if absent.
    pub structured: Option<StructuredBy>,
}

/// A provider with its key.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The address without `/chat/completions`.
    pub base_url: String,
    /// Its key, if there is one.
    pub api_key: Option<Secret>,
    /// The variable that holds the key, for error texts.
    pub api_key_env: String,
    /// Requests per minute, including retries.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Concurrent requests.
    pub concurrency: NonZeroUsize,
    /// Whether answers are streamed.
    pub stream: bool,
    /// Headers sent with every request.
    pub extra_headers: BTreeMap<String, Secret>,
    /// Which protocol it speaks.
    pub wire: Wire,
    /// The field that limits an answer's tokens; chosen by its address if absent.
    pub output_limit: Option<OutputLimit>,
    /// How to request an answer that follows a schema; chosen by the model if absent.
    pub structured: Option<StructuredBy>,
}

impl Provider {
    /// A provider at an address, with defaults for everything else.
    pub fn new(base_url: impl Into<String>, api_key: Option<Secret>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key,
            api_key_env: "OPENAI_API_KEY".into(),
            requests_per_minute: None,
            concurrency: DEFAULT_CONCURRENCY,
            stream: true,
            extra_headers: BTreeMap::new(),
            wire: Wire::default(),
            output_limit: None,
            structured: None,
        }
    }
}

const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// How long each phase of an attempt may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Until the connection is established.
    pub connect: Duration,
    /// From sending until the response's headers, when streaming.
    pub header: Duration,
    /// Between two chunks of a stream. Reasoning models can be silent for long.
    pub stream_idle: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            header: Duration::from_secs(120),
            stream_idle: Duration::from_secs(180),
            total: Duration::from_secs(900),
        }
    }
}

/// How often and how long a call is retried.
#[derive(Clone, Debug)]
pub struct Retries {
    /// HTTP requests per call, including the first.
    pub max_attempts: u32,
    /// HTTP requests per call that may return unreadable answers.
    pub max_garbage: u32,
    /// The longest first wait; it doubles for each further one.
    pub base_delay: Duration,
    /// The longest wait, even if the provider requests more.
    pub max_delay: Duration,
    /// All attempts and waits of a call.
    pub total: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            max_garbage: 2,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(60),
            total: Duration::from_secs(1_800),
        }
    }
}

/// The settings of the model layer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Providers by name.
    pub providers: BTreeMap<String, Provider>,
    /// Prices and limits of models.
    pub prices: Prices,
    /// How long each phase of an attempt may take.
    pub timeouts: Timeouts,
    /// How often and how long a call is retried.
    pub retries: Retries,
    /// Bytes of one answer; a longer one is rejected.
    pub max_answer_bytes: u64,
    /// Bytes of one line or event of a stream; a longer one is rejected.
    pub max_line_bytes: usize,
}

impl Settings {
    /// Settings for these providers, with the vendored prices and defaults for everything else.
    pub fn new(providers: BTreeMap<String, Provider>) -> Result<Self, Error> {
        Ok(Self {
            providers,
            prices: Prices::vendored()?,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            max_answer_bytes: 32 << 20,
            max_line_bytes: 4 << 20,
        })
    }

    /// Settings for the configured providers, with keys and the provider `openai` from the environment.
    ///
    /// `OPENAI_BASE_URL` and `OPENAI_API_KEY` configure the provider `openai` and override the file.
    pub fn from_environment(
        configured: &BTreeMap<String, ProviderConfig>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let value = |name: &str| {
            variable(name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let mut providers: BTreeMap<String, Provider> = configured
            .iter()
            .map(|(name, config)| (name.clone(), config.resolve(name, value)))
            .collect();
        let openai = providers
            .entry(DEFAULT_PROVIDER.into())
            .or_insert_with(|| Provider::new(OPENAI_BASE_URL, value("OPENAI_API_KEY").map(Secret::new)));
        if let Some(base_url) = value("OPENAI_BASE_URL") {
            openai.base_url = base_url;
        }
        Self::new(providers)
    }
}

impl ProviderConfig {
    fn resolve(&self, name: &str, variable: impl Fn(&str) -> Option<String>) -> Provider {
        let api_key_env = self.api_key_env.clone().unwrap_or_else(|| key_variable(name));
        Provider {
            base_url: self.base_url.clone(),
            api_key: variable(&api_key_env).map(Secret::new),
            api_key_env,
            requests_per_minute: self.requests_per_minute,
            concurrency: self.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            stream: self.stream.unwrap_or(true),
            extra_headers: self
                .extra_headers
                .iter()
                .map(|(header, text)| (header.clone(), Secret::new(text)))
                .collect(),
            wire: self.wire,
            output_limit: self.output_limit,
            structured: self.structured,
        }
    }
}

/// `my-provider` → `MY_PROVIDER_API_KEY`.
fn key_variable(provider: &str) -> String {
    let stem: String = provider
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{stem}_API_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn environment_alone_configures_openai() {
        let settings = Settings::from_environment(
            &BTreeMap::new(),
            environment(&[
                ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
                ("OPENAI_API_KEY", " sk-secret \n"),
            ]),
        )
        .unwrap();
        let openai = &settings.providers["openai"];
        assert_eq!(openai.base_url, "http://127.0.0.1:9/v1");
        assert_eq!(openai.api_key, Some(Secret::new("sk-secret")));
        let bare = Settings::from_environment(&BTreeMap::new(), environment(&[])).unwrap();
        assert_eq!(bare.providers["openai"].base_url, "https://api.openai.com/v1");
        assert_eq!(bare.providers["openai"].api_key, None);
    }

    #[test]
    fn configured_provider_reads_its_key_from_its_variable() {
        let config: BTreeMap<String, ProviderConfig> = toml::from_str(
            "[open-router]\nbase_url = \"https://example.test/v1\"\n[own]\nbase_url = \"https://example.test\"\napi_key_env = \"MINE\"\n",
        )
        .unwrap();
        let settings =
            Settings::from_environment(&config, environment(&[("OPEN_ROUTER_API_KEY", "one"), ("MINE", "two")]))
                .unwrap();
        assert_eq!(settings.providers["open-router"].api_key, Some(Secret::new("one")));
        assert_eq!(settings.providers["own"].api_key, Some(Secret::new("two")));
        assert!(settings.providers.contains_key("openai"));
    }

    #[test]
    fn secret_is_masked_in_debug_output() {
        let provider = Provider::new("http://example.test", Some(Secret::new("sk-hidden")));
        assert!(!format!("{provider:?}").contains("sk-hidden"));
    }

    #[test]
    fn unknown_provider_setting_is_rejected() {
        let text = "[own]\nbase_url = \"https://example.test\"\nbase_ulr = \"x\"\n";
        assert!(toml::from_str::<BTreeMap<String, ProviderConfig>>(text).is_err());
    }
}
