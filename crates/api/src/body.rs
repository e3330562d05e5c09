//! Parsing of request bodies, with errors that name the field and the value.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// The largest float up to which every whole number is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The longest text of a value in an error.
const QUOTED_CHARACTERS: usize = 200;
/// The longest message of an error.
const MESSAGE_CHARACTERS: usize = 600;

/// Why a document is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// It is not JSON.
    #[error("the body is not JSON: {message}")]
    Syntax {
        /// The error and its position.
        message: String,
    },
    /// It is JSON of the wrong shape.
    #[error("{message}")]
    Shape {
        /// The path of the field, such as `orch_config.worker_model.provider`.
        path: String,
        /// The value found there.
        value: Option<Value>,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// Reads a document.
///
/// # Errors
/// When it is not JSON, names a field twice, or is not of that shape: then with the path, the value found there and, for
/// a name that is not known, the nearest known one.
pub fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Invalid> {
    let Unambiguous(document) = serde_json::from_slice(bytes).map_err(|error| Invalid::Syntax {
        message: error.to_string(),
    })?;
    let read: T = serde_path_to_error::deserialize(&document).map_err(|error| shape(&document, &error))?;
    let meant = serde_json::to_value(&read).unwrap_or_default();
    match misread(&document, Some(&meant), String::new()) {
        Some((path, found)) => Err(Invalid::Shape {
            path,
            value: Some(shortened(found)),
            message: "invalid type: array, expected an object".into(),
            hint: None,
        }),
        None => Ok(read),
    }
}

/// serde also reads an object from the list of its values, and `[]` as one with every field left out. Where the
/// document has a list and what was read of it has none, that has happened.
fn misread<'a>(found: &'a Value, meant: Option<&Value>, path: String) -> Option<(String, &'a Value)> {
    match found {
        Value::Array(items) => {
            let Some(Value::Array(read)) = meant else {
                return Some((path, found));
            };
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| misread(item, read.get(at), format!("{path}[{at}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = match path.is_empty() {
                true => name.clone(),
                false => format!("{path}.{name}"),
            };
            misread(value, meant.and_then(|meant| meant.get(name)), path)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A document in which no object names a field twice: readers differ in which one holds.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// To JSON `3.0` is the number 3, and as good where one is asked for.
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        let is_whole = value.fract() == 0.0 && value.abs() <= EXACT;
        Ok(if is_whole { (value as i64).into() } else { value.into() })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Unambiguous(value) = fields.next_value()?;
            if object.contains_key(&name) {
                let name: String = name.chars().take(QUOTED_CHARACTERS).collect();
                return Err(serde::de::Error::custom(format_args!(
                    "the field `{name}` is given twice"
                )));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
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
        None if unknown.is_some() && !known.is_empty() => Some(format!("expected one of: {}", known.join(", "))),
        None => None,
    };
    // The reader repeats what it found, whole.
    let message = match message.char_indices().nth(MESSAGE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
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
    fn a_list_is_no_object_wherever_it_stands() {
        let run = |limits: &str| format!(r#"{{"objective": "x", "workspace_path": "/w", "orch_config": {limits}}}"#);
        for (document, path) in [
            (r#"["x", "/w"]"#.to_owned(), ""),
            ("[]".to_owned(), ""),
            (run("[]"), "orch_config"),
            (run(r#"{"limits": []}"#), "orch_config.limits"),
            (run(r#"{"worker_model": ["p", "m"]}"#), "orch_config.worker_model"),
        ] {
            match parse::<NewRun>(document.as_bytes()) {
                Err(Invalid::Shape { path: found, .. }) => assert_eq!(found, path, "{document}"),
                other => panic!("{document}: {other:?}"),
            }
        }
        assert!(parse::<crate::CleanRequest>(b"[]").is_err());
        let answer = br#"{"paths": [{"path": "a", "decision": "ours"}, ["b", "ours"]]}"#;
        match parse::<crate::ResolveRequest>(answer) {
            Err(Invalid::Shape { path, .. }) => assert_eq!(path, "paths[1]"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        let document = r#"{"objective": "x", "workspace_path": "/w",
            "orch_config": {"max_cost_dollars": 2.0, "limits": {"tasks": 74.0}}}"#;
        let run: NewRun = parse(document.as_bytes()).unwrap();
        assert_eq!(run.orch_config.limits.tasks, Some(74));
        assert_eq!(run.orch_config.max_cost_dollars, Some(2.0));
        assert!(parse::<NewRun>(document.replace("74.0", "74.5").as_bytes()).is_err());
    }

    #[test]
    fn a_field_given_twice_is_refused() {
        for document in [
            r#"{"objective": "x", "objective": "y", "workspace_path": "/w"}"#,
            r#"{"objective": "x", "workspace_path": "/w", "orch_config": {"check": "a", "check": "a"}}"#,
        ] {
            let error = parse::<NewRun>(document.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("is given twice"), "{error}");
        }
    }

    #[test]
    fn a_document_nested_without_end_is_refused() {
        let deep = "[".repeat(100_000);
        assert!(matches!(parse::<NewRun>(deep.as_bytes()), Err(Invalid::Syntax { .. })));
    }

    #[test]
    fn a_broken_document_says_where() {
        let error = parse::<NewRun>(b"{\"objective\": ").unwrap_err();
        assert!(error.to_string().contains("line 1 column"), "{error}");
    }
}
