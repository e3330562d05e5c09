//! Errors of the API: problem details as of RFC 9457.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use utoipa::ToSchema;

/// The longest text of a problem, in characters.
const TEXT_CHARACTERS: usize = 1_000;
/// The longest value that is repeated, in characters.
const VALUE_CHARACTERS: usize = 300;

/// An error: what went wrong, with which value, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, a stable URN: `urn:agent-orchestrator:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The field of the request, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// The media type of these documents.
    pub const MEDIA_TYPE: &str = "application/problem+json";
    const PREFIX: &str = "urn:agent-orchestrator:problem:";

    /// A problem of a kind (`unknown-run`), with its status and both texts.
    pub fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{}{kind}", Self::PREFIX),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            field: None,
            value: None,
            hint: None,
        }
    }

    /// With the field of the request.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// With the value that was found.
    #[must_use]
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With every long text of the request truncated.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.detail, TEXT_CHARACTERS);
        for text in self.field.iter_mut().chain(&mut self.hint) {
            cut(text, TEXT_CHARACTERS);
        }
        match &mut self.value {
            Some(Value::String(text)) => cut(text, VALUE_CHARACTERS),
            Some(value @ (Value::Array(_) | Value::Object(_))) => {
                let mut text = value.to_string();
                if text.len() > VALUE_CHARACTERS {
                    cut(&mut text, VALUE_CHARACTERS);
                    *value = Value::String(text);
                }
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => {}
        }
        self
    }

    /// The kind without its prefix.
    pub fn name(&self) -> &str {
        self.kind.strip_prefix(Self::PREFIX).unwrap_or(&self.kind)
    }
}

fn cut(text: &mut String, characters: usize) {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)?;
        if let Some(field) = &self.field {
            write!(formatter, "\n  field: {field}")?;
        }
        if let Some(value) = &self.value {
            match value {
                Value::String(text) => write!(formatter, "\n  found: {text}")?,
                other => write!(formatter, "\n  found: {other}")?,
            }
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_in_problems_are_truncated() {
        let long = "ä".repeat(1 << 20);
        let problem = Problem::new(400, "x", "x", long.clone())
            .field(long.clone())
            .value(Value::Array(vec![Value::String(long.clone())]))
            .hint(long)
            .bounded();
        assert!(serde_json::to_string(&problem).unwrap().len() < 8_000);
        assert!(problem.detail.ends_with("ä…"));
        let small = Problem::new(400, "x", "x", "y").value(vec![1]).bounded();
        assert_eq!(small.value, Some(serde_json::json!([1])));
    }
}
