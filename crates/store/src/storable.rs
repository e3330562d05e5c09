//! Texts as they are stored: the one way of what people, models and commands wrote into the database. Postgres holds any
//! character but NUL, which models and commands do write; and no secret is written down, known or looking like one,
//! whoever repeats it.

use crate::Error;
use domain::recorded::Recorded;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::borrow::Cow;
use telemetry::secrets::{mask_known, redact_json, redacted};

/// The text, with a replacement character for each NUL and every secret masked. JSON in it stays JSON.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    without_nul(redacted(text))
}

/// The document, with each of its texts as [`text`] has it.
pub(crate) fn json(value: &Value) -> Value {
    storable(redact_json(value))
}

/// A text that is worked with, such as a command: only what is known to be secret is masked in it. Whoever takes it in
/// refuses what looks like a secret.
pub(crate) fn worked_with(text: &str) -> Cow<'_, str> {
    without_nul(mask_known(text))
}

fn without_nul(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => text,
    }
}

fn storable(value: Value) -> Value {
    let own = |text: String| without_nul(Cow::Owned(text)).into_owned();
    match value {
        Value::String(text) => Value::String(own(text)),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (own(name), storable(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// A value of ours as a document.
///
/// # Errors
/// When it can't be written as one.
pub(crate) fn document(column: &'static str, value: &impl Serialize) -> Result<Value, Error> {
    let value = serde_json::to_value(value).map_err(|error| Error::encoding(column, error))?;
    Ok(json(&value))
}

/// A document as it was written, or why it can't be read: rows outlive the versions that wrote them.
pub(crate) fn recorded<T: DeserializeOwned>(column: &'static str, value: Value) -> Recorded<T> {
    serde_json::from_value(value).map_or_else(
        |error| Recorded::Unreadable {
            unreadable: format!("{column} can't be read: {error}"),
        },
        Recorded::Read,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as literal;

    #[test]
    fn a_known_secret_is_masked_wherever_it_stands() {
        telemetry::secrets::register_secret("a-secret-of-this-test".into());
        let value = literal!({"a": ["the a-secret-of-this-test!"]});
        assert_eq!(json(&value), literal!({"a": ["the [redacted]!"]}));
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_and_json_stays_json() {
        assert_eq!(text("DB_PASSWORD=Zx9Kq2Lm7Rt4"), "DB_PASSWORD=[redacted]");
        let value = literal!({"arguments": "{\"command\":\"DB_PASSWORD=Zx9Kq2Lm7Rt4 ./run\"}"});
        let masked = literal!({"arguments": "{\"command\":\"DB_PASSWORD=[redacted] ./run\"}"});
        assert_eq!(json(&value), masked);
    }

    #[test]
    fn a_nul_is_replaced_wherever_it_stands() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(text("ab"), "ab");
        let value = literal!({"a\0": ["\0", {"b": "c\0"}], "n": 1});
        assert_eq!(
            json(&value),
            literal!({"a\u{fffd}": ["\u{fffd}", {"b": "c\u{fffd}"}], "n": 1})
        );
    }
}
