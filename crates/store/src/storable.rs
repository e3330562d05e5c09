//! Texts as they are stored. Postgres holds any character but NUL, which models and commands do write; and no secret
//! that is known is written down, whoever repeats it.

use crate::Error;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use telemetry::secrets::mask_known;

/// The text, with a replacement character for each NUL and every known secret masked.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let masked = mask_known(text);
    match masked.contains('\0') {
        true => Cow::Owned(masked.replace('\0', "\u{fffd}")),
        false => masked,
    }
}

/// The document, with each of its texts as [`text`] has it.
pub(crate) fn json(value: &Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(string).into_owned()),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (text(name).into_owned(), json(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A value of ours as a document.
///
/// # Errors
/// When it can't be written as one.
pub(crate) fn document(column: &'static str, value: &impl Serialize) -> Result<Value, Error> {
    let value = serde_json::to_value(value).map_err(|error| Error::corrupt(column, &error))?;
    Ok(json(&value))
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
