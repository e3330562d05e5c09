//! How one attempt failed, and whether a retry can help.

pub(crate) mod classify;

use self::classify::{ProviderError, shorten};
use crate::{
    error::{Error, TimeoutKind},
    retry_after,
    settings::Secret,
    types::ModelRef,
};
use async_openai::error::OpenAIError;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use telemetry::llm::LlmStatus;

/// One attempt that gave no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) kind: FailureKind,
    /// How long the provider asks to wait before the next attempt.
    pub(crate) retry_after: Option<Duration>,
    /// The provider's own advice on retrying.
    pub(crate) retry_advised: Option<bool>,
    /// Whether the provider accepted the request, so that it may bill it.
    pub(crate) accepted: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum FailureKind {
    Auth {
        status: u16,
        code: Option<String>,
    },
    Quota(String),
    RateLimited(String),
    ContextLength(String),
    ContentFilter(String),
    BadRequest {
        status: u16,
        detail: String,
    },
    Server {
        status: u16,
        detail: String,
    },
    Timeout {
        kind: TimeoutKind,
        after: Duration,
    },
    Unreachable(String),
    Garbage(String),
    /// Longer than the limit. A retry would likely be as long, and cost as much.
    TooLong(String),
    Truncated(String),
}

impl Failure {
    /// A failure after the provider accepted the request.
    pub(crate) fn accepted(kind: FailureKind) -> Self {
        Self {
            kind,
            retry_after: None,
            retry_advised: None,
            accepted: true,
        }
    }

    /// A failure before the provider accepted the request; it costs nothing.
    pub(crate) fn refused(kind: FailureKind) -> Self {
        Self {
            kind,
            retry_after: None,
            retry_advised: None,
            accepted: false,
        }
    }

    /// An answer with an error status.
    pub(crate) fn of_response(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let retry_advised = headers.get("x-should-retry").and_then(|value| match value.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        });
        Self {
            retry_after: retry_after::requested_wait(headers, SystemTime::now()),
            retry_advised,
            ..Self::refused(classify::classify(status.as_u16(), body))
        }
    }

    /// An error sent within a stream.
    pub(crate) fn of_stream(error: &Value) -> Self {
        let sent = ProviderError::of(error);
        let status = error
            .get("code")
            .and_then(Value::as_u64)
            .or_else(|| error.get("status").and_then(Value::as_u64));
        let status = status
            .and_then(|status| u16::try_from(status).ok())
            .unwrap_or(match sent.kind.as_str() {
                "rate_limit_error" | "rate_limit_exceeded" => 429,
                "invalid_request_error" => 400,
                _ => 500,
            });
        Self::accepted(sent.classify(status))
    }

    /// The reason for a retry, as in metrics; `None` for a permanent failure.
    pub(crate) fn retry_reason(&self) -> Option<&'static str> {
        let transient = match &self.kind {
            FailureKind::RateLimited(_)
            | FailureKind::Server { .. }
            | FailureKind::Timeout {
                kind: TimeoutKind::Header | TimeoutKind::StreamIdle,
                ..
            }
            | FailureKind::Unreachable(_)
            | FailureKind::Truncated(_)
            | FailureKind::Garbage(_) => true,
            // A retry would likely take as long, and cost as much.
            FailureKind::Timeout {
                kind: TimeoutKind::Total | TimeoutKind::Deadline,
                ..
            }
            | FailureKind::Auth { .. }
            | FailureKind::Quota(_)
            | FailureKind::ContextLength(_)
            | FailureKind::ContentFilter(_)
            | FailureKind::TooLong(_)
            | FailureKind::BadRequest { .. } => false,
        };
        (transient && self.retry_advised != Some(false)).then(|| self.name())
    }

    /// A short stable name, for spans.
    pub(crate) fn name(&self) -> &'static str {
        match &self.kind {
            FailureKind::Auth { .. } => "auth",
            FailureKind::Quota(_) => "quota",
            FailureKind::RateLimited(_) => "rate_limited",
            FailureKind::ContextLength(_) => "context_length",
            FailureKind::ContentFilter(_) => "content_filter",
            FailureKind::BadRequest { .. } => "bad_request",
            FailureKind::Server { .. } => "server_error",
            FailureKind::Timeout { .. } => "timeout",
            FailureKind::Unreachable(_) => "connection",
            FailureKind::Garbage(_) => "invalid_answer",
            FailureKind::TooLong(_) => "too_long",
            FailureKind::Truncated(_) => "cut_stream",
        }
    }

    /// The status of the attempt in metrics.
    pub(crate) fn status(&self) -> LlmStatus {
        match self.kind {
            FailureKind::RateLimited(_) => LlmStatus::RateLimited,
            FailureKind::Timeout { .. } => LlmStatus::Timeout,
            FailureKind::Auth { .. }
            | FailureKind::Quota(_)
            | FailureKind::ContextLength(_)
            | FailureKind::ContentFilter(_)
            | FailureKind::BadRequest { .. }
            | FailureKind::Server { .. }
            | FailureKind::Unreachable(_)
            | FailureKind::Garbage(_)
            | FailureKind::TooLong(_)
            | FailureKind::Truncated(_) => LlmStatus::Error,
        }
    }

    /// The error of the whole call after this many attempts.
    pub(crate) fn into_error(self, on: ModelRef, attempts: u32, key: Key<'_>) -> Error {
        let clean = |detail: String| key.remove_from(&detail);
        match self.kind {
            FailureKind::Auth { status, code } => Error::Auth {
                on,
                status,
                code: code.map(clean),
                variable: key.variable.to_owned(),
            },
            FailureKind::Quota(detail) => Error::Quota {
                on,
                detail: clean(detail),
            },
            FailureKind::RateLimited(detail) => Error::RateLimited {
                on,
                attempts,
                detail: clean(detail),
            },
            FailureKind::ContextLength(detail) => Error::ContextLength {
                on,
                detail: clean(detail),
            },
            FailureKind::ContentFilter(detail) => Error::ContentFilter {
                on,
                detail: clean(detail),
            },
            FailureKind::BadRequest { status, detail } => Error::BadRequest {
                on,
                status,
                detail: clean(detail),
            },
            FailureKind::Server { status, detail } => Error::Server {
                on,
                status,
                attempts,
                detail: clean(detail),
            },
            FailureKind::Timeout { kind, after } => Error::Timeout {
                on,
                kind,
                after,
                attempts,
            },
            FailureKind::Unreachable(detail) => Error::Unreachable {
                on,
                attempts,
                detail: clean(detail),
            },
            FailureKind::Garbage(detail) | FailureKind::TooLong(detail) => Error::Garbage {
                on,
                attempts,
                detail: clean(detail),
            },
            FailureKind::Truncated(detail) => Error::Truncated {
                on,
                attempts,
                detail: clean(detail),
            },
        }
    }
}

/// A provider's key, which is removed from error texts.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) variable: &'a str,
}

impl Key<'_> {
    fn remove_from(&self, text: &str) -> String {
        match self.secret.map(Secret::expose) {
            Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
            _ => text.to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for OpenAIError {
    fn from(failure: Failure) -> Self {
        Self::Boxed(Box::new(failure))
    }
}

/// The failure inside an error of the client library.
impl From<OpenAIError> for Failure {
    fn from(error: OpenAIError) -> Self {
        match error {
            OpenAIError::Boxed(boxed) => match boxed.downcast::<Self>() {
                Ok(failure) => *failure,
                Err(other) => Self::accepted(FailureKind::Truncated(shorten(&other.to_string()))),
            },
            OpenAIError::Reqwest(error) => of_transport(error),
            OpenAIError::JSONDeserialize(error, _) => {
                Self::accepted(FailureKind::Garbage(format!("not the expected JSON: {error}")))
            }
            OpenAIError::StreamError(error) => Self::accepted(FailureKind::Truncated(shorten(&error.to_string()))),
            OpenAIError::ApiError(error) => {
                let status = error.status_code.as_u16();
                Self::refused(FailureKind::BadRequest {
                    status,
                    detail: shorten(&error.api_error.to_string()),
                })
            }
            OpenAIError::InvalidArgument(detail)
            | OpenAIError::FileSaveError(detail)
            | OpenAIError::FileReadError(detail) => Self::refused(FailureKind::BadRequest {
                status: 0,
                detail: shorten(&detail),
            }),
        }
    }
}

/// A request that got no response.
pub(crate) fn of_transport(error: reqwest::Error) -> Failure {
    let before_sending = error.is_connect() || error.is_builder();
    let kind = FailureKind::Unreachable(root_cause(&error));
    if before_sending {
        Failure::refused(kind)
    } else {
        Failure::accepted(kind)
    }
}

/// The innermost cause; the outer ones repeat it and contain the address.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = match std::error::Error::source(error) {
        Some(source) => source,
        None => {
            return if error.is_timeout() {
                "timed out".into()
            } else {
                "the request failed".into()
            };
        }
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    shorten(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_can_forbid_a_retry() {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-should-retry"),
            http::HeaderValue::from_static("false"),
        )]);
        assert!(
            Failure::of_response(StatusCode::BAD_GATEWAY, &headers, "")
                .retry_reason()
                .is_none()
        );
    }

    #[test]
    fn error_text_contains_neither_key_nor_address() {
        let secret = Secret::new("sk-very-secret");
        let body = r#"{"error":{"message":"bad key sk-very-secret, see https://example.test/keys","code":"x"}}"#;
        let failure = Failure::of_response(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        let key = Key {
            secret: Some(&secret),
            variable: "OPENAI_API_KEY",
        };
        let text = failure.into_error(ModelRef::new("openai", "gpt-4"), 1, key).to_string();
        assert!(
            !text.contains("sk-very-secret") && !text.contains("example.test"),
            "{text}"
        );
        assert!(text.contains("openai/gpt-4") && text.contains("bad key ***"), "{text}");
    }
}
