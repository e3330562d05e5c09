//! The subset of JSON Schema that strict structured output accepts.

use serde_json::Value;

/// Keywords that OpenAI's strict mode does not allow.
const REFUSED: [&str; 10] = [
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "default",
];

/// The reasons why a schema is not strict, each with its location in the document.
pub(crate) fn problems(schema: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    if schema["type"] != "object" {
        found.push(format!(
            "{place}: the root of a strict schema must have the type object"
        ));
    }
    walk(schema, place, &mut found);
    found
}

fn walk(schema: &Value, place: &str, found: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        return;
    };
    for refused in REFUSED.iter().filter(|keyword| keywords.contains_key(**keyword)) {
        found.push(format!("{place}: {refused} is not permitted in a strict schema"));
    }
    if keywords.contains_key("$ref") && keywords.len() > 1 {
        let beside: Vec<&str> = keywords
            .keys()
            .map(String::as_str)
            .filter(|keyword| *keyword != "$ref")
            .collect();
        found.push(format!(
            "{place}: $ref cannot have keywords beside it ({})",
            beside.join(", ")
        ));
    }
    if is_object(schema) {
        object(schema, place, found);
    }
    for group in ["properties", "$defs", "definitions"] {
        for (name, part) in schema[group].as_object().into_iter().flatten() {
            walk(part, &format!("{place}.{group}.{name}"), found);
        }
    }
    walk(&schema["items"], &format!("{place}.items"), found);
    for (at, part) in schema["anyOf"].as_array().into_iter().flatten().enumerate() {
        walk(part, &format!("{place}.anyOf[{at}]"), found);
    }
}

fn is_object(schema: &Value) -> bool {
    let named = match &schema["type"] {
        Value::Array(types) => types.iter().any(|name| name == "object"),
        name => name == "object",
    };
    named || schema["properties"].is_object()
}

fn object(schema: &Value, place: &str, found: &mut Vec<String>) {
    if schema["additionalProperties"] != false {
        found.push(format!("{place}: additionalProperties must be given and false"));
    }
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema["properties"].as_object();
    let names = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
    for name in names().filter(|name| !required.contains(name)) {
        found.push(format!("{place}: required must name every property, {name} is missing"));
    }
    for name in required
        .iter()
        .filter(|name| !names().any(|property| property == **name))
    {
        found.push(format!("{place}: required names {name}, which is no property"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn closed_schema_with_all_properties_required_is_strict() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["tasks"], "properties": {
            "tasks": {"type": "array", "items": {"$ref": "#/$defs/task"}}}, "$defs": {
            "task": {"type": ["object", "null"], "additionalProperties": false, "required": ["key"],
                "properties": {"key": {"type": "string"}}}}});
        assert_eq!(problems(&schema, "schema"), Vec::<String>::new());
    }

    #[test]
    fn open_objects_options_and_unions_are_found_at_any_depth() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["a", "ghost"], "properties": {
            "a": {"type": "array", "items": {"properties": {"b": {"default": 1}}, "required": []}},
            "c": {"$ref": "#/$defs/x", "description": "d"}}, "$defs": {"x": {"oneOf": []}}});
        let found = problems(&schema, "s").join("\n");
        for expected in [
            "s: required must name every property, c is missing",
            "s: required names ghost, which is no property",
            "s.properties.a.items: additionalProperties must be given and false",
            "s.properties.a.items: required must name every property, b is missing",
            "s.properties.a.items.properties.b: default is not permitted",
            "s.properties.c: $ref cannot have keywords beside it (description)",
            "s.$defs.x: oneOf is not permitted",
        ] {
            assert!(found.contains(expected), "missing {expected:?} in\n{found}");
        }
    }
}
