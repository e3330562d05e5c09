//! Classifies the error of a provider.

use crate::failure::FailureKind;
use serde_json::Value;

/// How many characters of a provider's message are kept.
const DETAIL_LIMIT: usize = 300;

/// Classifies an error response by status and body.
pub(crate) fn classify(status: u16, body: &str) -> FailureKind {
    match serde_json::from_str::<Value>(body) {
        // `{"error": {…}}`, `{"error": "…"}`, or the error itself.
        Ok(document) => ProviderError::of(document.get("error").unwrap_or(&document)).classify(status),
        Err(_) => ProviderError {
            message: shorten(body),
            ..ProviderError::default()
        }
        .classify(status),
    }
}

/// A provider's description of an error.
#[derive(Default)]
pub(crate) struct ProviderError {
    message: String,
    code: String,
    pub(crate) kind: String,
}

impl ProviderError {
    pub(crate) fn of(error: &Value) -> Self {
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = match error {
            Value::String(message) => message.clone(),
            _ => error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        };
        Self {
            message: shorten(&message),
            code: field("code"),
            kind: field("type"),
        }
    }

    pub(crate) fn classify(self, status: u16) -> FailureKind {
        let says = |words: &[&str]| {
            let text = format!("{} {} {}", self.code, self.kind, self.message).to_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        if matches!(status, 402 | 403 | 429) && says(&["insufficient_quota", "billing", "credit balance", "payment"]) {
            return FailureKind::Quota(self.detail(status));
        }
        match status {
            401 | 403 => FailureKind::Auth {
                status,
                code: Some(self.code).filter(|code| !code.is_empty()),
            },
            402 => FailureKind::Quota(self.detail(status)),
            429 => FailureKind::RateLimited(self.detail(status)),
            408 | 409 | 500.. => FailureKind::Server {
                status,
                detail: self.detail(status),
            },
            _ if says(&[
                "context_length",
                "context length",
                "context window",
                "too many tokens",
                "prompt is too long",
                "maximum context",
                "input is too long",
            ]) =>
            {
                FailureKind::ContextLength(self.detail(status))
            }
            _ if says(&[
                "content_filter",
                "content_policy",
                "content management policy",
                "safety system",
            ]) =>
            {
                FailureKind::ContentFilter(self.detail(status))
            }
            _ => FailureKind::BadRequest {
                status,
                detail: self.detail(status),
            },
        }
    }

    fn detail(&self, status: u16) -> String {
        let name = if self.code.is_empty() { &self.kind } else { &self.code };
        match (self.message.is_empty(), name.is_empty()) {
            (false, true) => self.message.clone(),
            (false, false) => format!("{} ({name})", self.message),
            (true, false) => name.clone(),
            (true, true) => format!("HTTP {status} without a reason"),
        }
    }
}

/// The text on one line of limited length, without addresses, which providers echo.
pub(crate) fn shorten(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| if word.contains("://") { "<address>" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DETAIL_LIMIT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use http::{HeaderMap, StatusCode};

    fn kind(status: u16, body: &str) -> String {
        let failure = Failure::of_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body);
        let name = format!("{:?}", failure.kind);
        let name = name.split([' ', '(', '{']).next().unwrap().to_owned();
        if failure.retry_reason().is_some() {
            format!("{name}, again")
        } else {
            name
        }
    }

    #[test]
    fn error_responses_are_classified_and_only_transient_ones_retried() {
        for (status, body, expected) in [
            (
                401,
                r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#,
                "Auth",
            ),
            (403, "Forbidden", "Auth"),
            (402, "{}", "Quota"),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                "Quota",
            ),
            (
                429,
                r#"{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}"#,
                "RateLimited, again",
            ),
            (429, "slow down", "RateLimited, again"),
            (
                400,
                r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
                "ContextLength",
            ),
            (
                400,
                r#"{"message":"This model's maximum context length is 8192 tokens"}"#,
                "ContextLength",
            ),
            (
                400,
                r#"{"error":{"message":"filtered","code":"content_filter"}}"#,
                "ContentFilter",
            ),
            (400, r#"{"error":"what is this?"}"#, "BadRequest"),
            (
                404,
                r#"{"error":{"message":"no such model","code":"model_not_found"}}"#,
                "BadRequest",
            ),
            (418, "", "BadRequest"),
            (408, "", "Server, again"),
            (409, "", "Server, again"),
            (500, "<html>", "Server, again"),
            (503, "", "Server, again"),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                "Server, again",
            ),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn long_details_are_truncated_between_characters() {
        let cut = shorten(&"ä".repeat(DETAIL_LIMIT + 5));
        assert_eq!(cut.chars().count(), DETAIL_LIMIT + 1);
    }
}
