//! Parses a model's JSON into typed arguments, and makes the schema of those types for the model.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ToolFailure;

/// Parses the arguments of a call; the failure names the field.
pub(super) fn parse<T: DeserializeOwned>(arguments: &str) -> Result<T, ToolFailure> {
    // Some servers send an empty text for a call without arguments.
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    // Serde would accept a list as a structure.
    if arguments.trim_start().starts_with('[') {
        let text = "The arguments are a list. Send one JSON object with the fields by name.";
        return Err(ToolFailure::new("bad_arguments", text));
    }
    let mut deserializer = serde_json::Deserializer::from_str(arguments);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let reason = error.into_inner();
        let place = if field == "." {
            String::new()
        } else {
            format!(" in field `{field}`")
        };
        let text = if reason.is_data() {
            format!("The arguments are wrong{place}: {reason}. Correct them and call the tool again.")
        } else {
            format!("The arguments are not valid JSON{place}: {reason}. Send one JSON object.")
        };
        ToolFailure::new("bad_arguments", text)
    })?;
    deserializer.end().map_err(|error| {
        let text = format!("The arguments are not one JSON object: {error}. Send exactly one.");
        ToolFailure::new("bad_arguments", text)
    })?;
    Ok(parsed)
}

/// The schema of a type, limited to what every provider supports: no references, no `null` alternatives.
pub(super) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut schema);
    schema
}

fn simplify(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for annotation in ["title", "format", "default"] {
        object.remove(annotation);
    }
    drop_null(object);
    for (key, value) in object.iter_mut() {
        match value {
            // The names below are fields, not keywords.
            Value::Object(fields) if key == "properties" => fields.values_mut().for_each(simplify),
            Value::Array(alternatives) => alternatives.iter_mut().for_each(simplify),
            other => simplify(other),
        }
    }
}

/// An optional field may be left out, so `null` need not be offered beside its type.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Something.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Example {
        /// A number.
        #[serde(default)]
        count: Option<u32>,
        /// Not a keyword here.
        title: String,
    }

    #[test]
    fn the_schema_names_types_and_refuses_unknown_fields() {
        let expected = serde_json::json!({
            "type": "object",
            "description": "Something.",
            "properties": {
                "count": { "type": "integer", "minimum": 0, "description": "A number." },
                "title": { "type": "string", "description": "Not a keyword here." },
            },
            "required": ["title"],
            "additionalProperties": false,
        });
        assert_eq!(schema::<Example>(), expected);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let text = |arguments| parse::<Example>(arguments).unwrap_err().text;
        assert!(text(r#"{"title": "x", "count": "many"}"#).contains("in field `count`"));
        assert!(text(r#"{"count": 1}"#).contains("`title`"));
        assert!(text(r#"{"title": "x", "colour": 1}"#).contains("`colour`"));
        assert!(text(r#"{"title": "#).contains("not valid JSON"));
        assert!(text(r#"{"title": "x"} {"title": "y"}"#).contains("exactly one"));
        assert!(text(r#"[1, "x"]"#).contains("are a list"));
        assert!(text("").contains("`title`"));
    }

    #[test]
    fn an_optional_field_may_be_null_or_missing() {
        assert_eq!(
            parse::<Example>(r#"{"title": "x", "count": null}"#).unwrap().count,
            None
        );
        let example = parse::<Example>(r#"{"title": "x", "count": 3}"#).unwrap();
        assert_eq!((example.count, example.title.as_str()), (Some(3), "x"));
    }
}
