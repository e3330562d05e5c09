//! From the bytes of a request to a typed value, with errors that say where and what.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The longest text of a found value that an error repeats.
const QUOTED_CHARACTERS: usize = 200;

/// Why a document is not what was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// It is not JSON.
    #[error("the body is not JSON: {message}")]
    Syntax {
        /// Where and what.
        message: String,
    },
    /// It is JSON of another shape.
    #[error("{message}")]
    Shape {
        /// Where, as a path: `orch_config.worker_model.provider`.
        path: String,
        /// What was found there.
        value: Option<Value>,
        /// What is wrong.
        message: String,
        /// What may have been meant.
        hint: Option<String>,
    },
}

/// Reads a document.
///
/// # Errors
/// When it is not JSON, or not of that shape: then with the path, the value found there and, for a name that is
/// not known, the nearest known one.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| Invalid::Syntax {
        message: error.to_string(),
    })?;
    serde_path_to_error::deserialize(&document).map_err(|error| shape(&document, &error))
}

fn shape(document: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let unknown = quoted_after(&message, "unknown field ").or_else(|| quoted_after(&message, "unknown variant "));
    let known = message
        .split_once("expected")
        .map(|(_, known)| names(known))
        .unwrap_or_default();
    let hint = match unknown.and_then(|name| nearest(name, known.iter().copied())) {
        Some(meant) => Some(format!("did you mean `{meant}`?")),
        None if unknown.is_some() && !known.is_empty() => Some(format!("known are: {}", known.join(", "))),
        None => None,
    };
    Invalid::Shape {
        value: at(document, &path).map(shortened),
        path: if path == "." { String::new() } else { path },
        message,
        hint,
    }
}

/// The name nearest to a mistyped one, if any is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.strip_prefix('`')?.split('`').next()
}

/// Every name between backticks.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The value at a path as `serde_path_to_error` writes them: `a.b[2].c`.
fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    if path == "." || path.is_empty() {
        return None;
    }
    let mut value = document;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        value = match step.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(step)?,
        };
    }
    Some(value)
}

fn shortened(value: &Value) -> Value {
    let text = value.to_string();
    if text.chars().count() <= QUOTED_CHARACTERS {
        return value.clone();
    }
    let start: String = text.chars().take(QUOTED_CHARACTERS).collect();
    Value::String(format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewRun;
    use serde_json::json;

    fn refused(document: Value) -> (String, Option<Value>, String, Option<String>) {
        match parse::<NewRun>(document.to_string().as_bytes()) {
            Err(Invalid::Shape {
                path,
                value,
                message,
                hint,
            }) => (path, value, message, hint),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_body_of_the_first_example_is_accepted_as_it_stands() {
        let body = json!({
            "objective": "Create a simple hello world function",
            "workspace_path": "/tmp/test-workspace",
            "orch_config": {
                "director_model": {"provider": "openai", "model_name": "gpt-4"},
                "worker_model": {"provider": "openai", "model_name": "gpt-4"}
            }
        });
        let run: NewRun = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(run.orch_config.director_model.unwrap().model_name, "gpt-4");
        assert!(run.orch_config.limits.is_empty());
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_known_one() {
        let (path, value, message, hint) = refused(json!({"objectve": "x", "workspace_path": "/w"}));
        assert_eq!((path.as_str(), value), ("objectve", Some(json!("x"))));
        assert!(message.contains("unknown field `objectve`"), "{message}");
        assert_eq!(hint.as_deref(), Some("did you mean `objective`?"));

        let body = json!({"objective": "x", "workspace_path": "/w", "orch_config": {"zzz": 1}});
        let (path, _, _, hint) = refused(body);
        assert_eq!(path, "orch_config.zzz");
        assert!(hint.unwrap().contains("director_model"));
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        let body = json!({"objective": "x", "workspace_path": "/w", "orch_config": {"limits": {"turns": "many"}}});
        let (path, value, message, _) = refused(body);
        assert_eq!(
            (path.as_str(), value),
            ("orch_config.limits.turns", Some(json!("many")))
        );
        assert!(message.contains("invalid type"), "{message}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let (_, _, message, _) = refused(json!({"objective": "x"}));
        assert!(message.contains("missing field `workspace_path`"), "{message}");
    }

    #[test]
    fn a_broken_document_says_where() {
        let error = parse::<NewRun>(b"{\"objective\": ").unwrap_err();
        assert!(error.to_string().contains("line 1 column"), "{error}");
    }
}
