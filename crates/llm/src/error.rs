//! Errors of model calls. Every text names provider and model, never a key or an address.

use crate::{ledger::Refusal, types::ModelRef};
use std::{fmt, time::Duration};

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ledger refused the call.
    #[error("{on}: {refusal}")]
    Refused {
        /// Which model.
        on: ModelRef,
        /// Why.
        refusal: Refusal,
    },
    /// No such provider is configured.
    #[error("unknown provider `{provider}`; configured providers: {}", known.join(", "))]
    UnknownProvider {
        /// The requested name.
        provider: String,
        /// The configured names.
        known: Vec<String>,
    },
    /// The provider needs a key and has none.
    #[error("provider `{provider}` has no API key; set the environment variable {variable}")]
    MissingKey {
        /// Which provider.
        provider: String,
        /// The variable that should hold its key.
        variable: String,
    },
    /// A setting can't be used.
    #[error("provider `{provider}`: {problem}")]
    Settings {
        /// Which provider.
        provider: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The price table can't be used.
    #[error("the price table can't be used: {0}")]
    Prices(String),
    /// The key was refused, or may not use this model.
    #[error(
        "{on}: the provider refused the API key ({status}{}); check {variable} and its permissions",
        code_suffix(code)
    )]
    Auth {
        /// Which model.
        on: ModelRef,
        /// HTTP status.
        status: u16,
        /// The provider's code for it.
        code: Option<String>,
        /// The variable that holds the key.
        variable: String,
    },
    /// The account's quota is used up.
    #[error("{on}: the account's quota is used up: {detail}; add credit with the provider")]
    Quota {
        /// Which model.
        on: ModelRef,
        /// The provider's message.
        detail: String,
    },
    /// Rate limited until the retries were used up.
    #[error("{on}: still rate limited after {}: {detail}; lower the concurrency or try later", times(*attempts))]
    RateLimited {
        /// Which model.
        on: ModelRef,
        /// HTTP requests made.
        attempts: u32,
        /// The provider's message.
        detail: String,
    },
    /// The conversation does not fit into the model's context window.
    #[error("{on}: the conversation is too long for the model's context window: {detail}; shorten it")]
    ContextLength {
        /// Which model.
        on: ModelRef,
        /// Numbers, or the provider's message.
        detail: String,
    },
    /// The provider's content filter rejected the request or the answer.
    #[error("{on}: refused by the provider's content filter: {detail}")]
    ContentFilter {
        /// Which model.
        on: ModelRef,
        /// The provider's message.
        detail: String,
    },
    /// The provider does not accept the request.
    #[error("{on}: the provider rejected the request ({status}): {detail}; check the model's name")]
    BadRequest {
        /// Which model.
        on: ModelRef,
        /// HTTP status.
        status: u16,
        /// The provider's message.
        detail: String,
    },
    /// The provider failed until the retries were used up.
    #[error("{on}: the provider failed ({status}) in {}: {detail}; try later", times(*attempts))]
    Server {
        /// Which model.
        on: ModelRef,
        /// HTTP status of the last attempt.
        status: u16,
        /// HTTP requests made.
        attempts: u32,
        /// The provider's message.
        detail: String,
    },
    /// No answer in time.
    #[error("{on}: {kind} {}, in {}; raise {} or try later", seconds(*after), times(*attempts), kind.setting())]
    Timeout {
        /// Which model.
        on: ModelRef,
        /// Which limit was exceeded.
        kind: TimeoutKind,
        /// The limit.
        after: Duration,
        /// HTTP requests made.
        attempts: u32,
    },
    /// No connection.
    #[error(
        "{on}: the provider can't be reached ({detail}) in {}; check its base_url and the network", times(*attempts))]
    Unreachable {
        /// Which model.
        on: ModelRef,
        /// HTTP requests made.
        attempts: u32,
        /// What failed, without the address.
        detail: String,
    },
    /// The response can't be read.
    #[error("{on}: the provider's answer can't be read ({detail}) in {}; check that it speaks this protocol", times(*attempts))]
    Garbage {
        /// Which model.
        on: ModelRef,
        /// HTTP requests made.
        attempts: u32,
        /// What is wrong with it.
        detail: String,
    },
    /// The answer stopped before its end.
    #[error("{on}: the answer was cut off before its end in {}: {detail}; try later", times(*attempts))]
    Truncated {
        /// Which model.
        on: ModelRef,
        /// HTTP requests made.
        attempts: u32,
        /// How it was noticed.
        detail: String,
    },
    /// The answer does not follow the schema, even after a repair turn.
    #[error("{on}: the answer does not follow the schema `{schema}`: {}", problems.join("; "))]
    Invalid {
        /// Which model.
        on: ModelRef,
        /// The schema's name.
        schema: String,
        /// What is wrong, each with a pointer into the document.
        problems: Vec<String>,
    },
}

/// Which time limit was exceeded, as a clause for the error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// The response's headers did not come.
    Header,
    /// A stream went silent.
    StreamIdle,
    /// The whole answer took too long.
    Total,
    /// The caller's deadline passed.
    Deadline,
}

impl TimeoutKind {
    /// The limit's name in the configuration.
    fn setting(self) -> &'static str {
        match self {
            Self::Header => "calls.header_s",
            Self::StreamIdle => "calls.stream_idle_s",
            Self::Total => "calls.total_s",
            Self::Deadline => "calls.call_s, or the limits of the run,",
        }
    }
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "no response started within",
            Self::StreamIdle => "the stream sent nothing for",
            Self::Total => "no complete answer within",
            Self::Deadline => "no answer within the call's deadline of",
        })
    }
}

/// Seconds with one decimal: the rest of a deadline is no whole number.
fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

fn times(attempts: u32) -> String {
    if attempts == 1 {
        "1 attempt".into()
    } else {
        format!("{attempts} attempts")
    }
}

fn code_suffix(code: &Option<String>) -> String {
    code.as_ref().map(|code| format!(", {code}")).unwrap_or_default()
}
