//! Strict JSON schemas, which providers can enforce while the model writes.

use llm::OutputSchema;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// Keywords that strict mode does not support or does not need.
const DROPPED: [&str; 6] = ["$schema", "title", "default", "format", "minimum", "maximum"];

/// The strict schema of a type: closed objects, every property required, no references. An answer may still omit fields
/// with a default.
pub(crate) fn strict<T: JsonSchema>(name: &str) -> OutputSchema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let accepts = schema.to_value();
    let mut schema = accepts.clone();
    tighten(&mut schema);
    OutputSchema {
        name: name.to_owned(),
        schema,
        accepts,
    }
}

fn tighten(schema: &mut Value) {
    let Some(keywords) = schema.as_object_mut() else {
        return;
    };
    for keyword in DROPPED {
        keywords.remove(keyword);
    }
    constants_to_enum(keywords);
    if let Some(Value::Object(properties)) = keywords.get_mut("properties") {
        properties.values_mut().for_each(tighten);
        let names = properties.keys().cloned().map(Value::String).collect();
        keywords.insert("required".into(), Value::Array(names));
        keywords.insert("additionalProperties".into(), Value::Bool(false));
    }
    if let Some(items) = keywords.get_mut("items") {
        tighten(items);
    }
    if let Some(Value::Array(choices)) = keywords.get_mut("anyOf") {
        choices.iter_mut().for_each(tighten);
    }
}

/// An enum whose variants are documented comes as `oneOf` constants; strict mode wants one `enum`.
fn constants_to_enum(keywords: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = keywords.get("oneOf") else {
        return;
    };
    let mut names = Vec::new();
    let mut meanings = Vec::new();
    for choice in choices {
        let Some(name) = choice.get("const") else {
            return;
        };
        if let (Some(name), Some(meaning)) = (name.as_str(), choice["description"].as_str()) {
            meanings.push(format!("{name}: {meaning}"));
        }
        names.push(name.clone());
    }
    let own = keywords.get("description").and_then(Value::as_str);
    let text: Vec<String> = own.map(str::to_owned).into_iter().chain(meanings).collect();
    keywords.remove("oneOf");
    keywords.insert("type".into(), Value::String("string".into()));
    keywords.insert("enum".into(), Value::Array(names));
    keywords.insert("description".into(), Value::String(text.join(" ")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::plan::PlanDocument;

    fn objects_are_closed(schema: &Value, place: &str) {
        match schema {
            Value::Object(keywords) => {
                for refused in ["oneOf", "allOf", "$ref", "default", "format"] {
                    assert!(!keywords.contains_key(refused), "{place}: {refused}");
                }
                if let Some(properties) = keywords.get("properties").and_then(Value::as_object) {
                    let names: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
                    assert_eq!(keywords["required"], Value::Array(names), "{place}");
                    assert_eq!(keywords["additionalProperties"], false, "{place}");
                }
                for (name, part) in keywords {
                    if name != "properties" {
                        objects_are_closed(part, &format!("{place}/{name}"));
                    }
                    for (property, part) in part.as_object().into_iter().flatten() {
                        objects_are_closed(part, &format!("{place}/{name}/{property}"));
                    }
                }
            }
            Value::Array(parts) => {
                for part in parts {
                    objects_are_closed(part, place);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn schema_of_plans_is_strict() {
        let schema = strict::<PlanDocument>("plan").schema;
        assert_eq!(schema["type"], "object");
        objects_are_closed(&schema, "");
        let task = &schema["properties"]["tasks"]["items"]["properties"];
        assert_eq!(task["size"]["enum"], serde_json::json!(["S", "M", "L"]));
        assert_eq!(task["check"]["type"], serde_json::json!(["object", "null"]));
    }

    #[test]
    fn answer_may_omit_fields_with_a_default() {
        let accepts = strict::<PlanDocument>("plan").accepts;
        let needed = serde_json::json!(["key", "title", "profile", "instructions"]);
        assert_eq!(accepts["properties"]["tasks"]["items"]["required"], needed);
        assert_eq!(accepts["additionalProperties"], false);
    }
}
