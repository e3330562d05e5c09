//! Whether providers can enforce a JSON schema while generating (strict mode).

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Keywords that strict mode does not allow.
const REFUSED: [&str; 12] = [
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "default",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "prefixItems",
    "unevaluatedProperties",
];

/// Whether every object is closed and requires all its properties, and no refused keyword occurs.
pub(crate) fn is_strict(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && holds(schema)
}

fn holds(schema: &Value) -> bool {
    let Value::Object(keywords) = schema else {
        return true;
    };
    if REFUSED.iter().any(|keyword| keywords.contains_key(*keyword)) {
        return false;
    }
    if keywords.contains_key("$ref") && keywords.len() > 1 {
        return false;
    }
    if is_object(schema) && !is_closed(keywords) {
        return false;
    }
    let of_maps = ["properties", "$defs", "definitions"]
        .into_iter()
        .filter_map(|key| keywords.get(key)?.as_object());
    let of_choices = keywords.get("anyOf").and_then(Value::as_array);
    of_maps
        .flat_map(Map::values)
        .chain(of_choices.into_iter().flatten())
        .chain(keywords.get("items"))
        .all(holds)
}

fn is_object(schema: &Value) -> bool {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
        None => false,
    };
    named || schema.get("properties").is_some()
}

fn is_closed(object: &Map<String, Value>) -> bool {
    let names = |keyword: &str| -> BTreeSet<&str> {
        match object.get(keyword) {
            Some(Value::Object(properties)) => properties.keys().map(String::as_str).collect(),
            Some(Value::Array(required)) => required.iter().filter_map(Value::as_str).collect(),
            _ => BTreeSet::new(),
        }
    };
    object.get("additionalProperties") == Some(&Value::Bool(false)) && names("properties") == names("required")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_closed_objects_with_all_properties_required_are_strict() {
        let closed = json!({
            "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": { "a": { "type": "array", "items": { "$ref": "#/$defs/b" } } },
            "$defs": { "b": { "type": "string", "enum": ["x"] } },
        });
        assert!(is_strict(&closed));
        let mut open = closed.clone();
        open["additionalProperties"] = json!(true);
        let mut optional = closed.clone();
        optional["required"] = json!([]);
        let mut deep = closed.clone();
        deep["$defs"]["b"] = json!({ "type": "object", "properties": { "c": {} } });
        let mut ghost = closed.clone();
        ghost["required"] = json!(["a", "b"]);
        let mut described = closed.clone();
        described["properties"]["a"]["items"]["description"] = json!("beside a reference");
        let mut choice = closed;
        choice["properties"]["a"] = json!({ "oneOf": [{ "type": "string" }] });
        for schema in [
            open,
            optional,
            deep,
            ghost,
            described,
            choice,
            json!({ "type": "string" }),
            json!(true),
        ] {
            assert!(!is_strict(&schema), "{schema}");
        }
    }
}
