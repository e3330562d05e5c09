//! The API reference: the OpenAPI document as a page, without external resources.

use crate::pages::frame;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// The page of an OpenAPI document.
pub(crate) fn page(document: &Value) -> Markup {
    let content = html! {
        h1 { (text(document, "/info/title")) " " (text(document, "/info/version")) }
        p { (prose(text(document, "/info/description"))) }
        p { "For programs: " a href="/openapi.json" { "openapi.json" } "." }
        h2 { "Operations" }
        @for (path, method, operation) in operations(document) { (self::operation(path, method, operation)) }
        h2 { "Types" }
        @for (name, schema) in entries(document.pointer("/components/schemas")) { (schema_section(name, schema)) }
    };
    frame("API", None, content)
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = entries(document.get("paths"));
    let all = paths.flat_map(|(path, item)| {
        entries(Some(item))
            .filter(|(_, operation)| operation.get("responses").is_some())
            .map(move |(method, operation)| (path, method, operation))
    });
    let mut all: Vec<_> = all.collect();
    // Runs first, then the rest.
    all.sort_by_key(|(path, method, _)| (!path.starts_with("/runs"), path.to_owned(), *method != "post"));
    all
}

fn operation(path: &str, method: &str, operation: &Value) -> Markup {
    let id = text(operation, "/operationId");
    html! {
        section id=(id) {
            h3 { span.method { (method.to_uppercase()) } " " code { (path) } }
            p { (prose(text(operation, "/summary"))) ". " (prose(text(operation, "/description"))) }
            @let parameters = operation.get("parameters").and_then(Value::as_array);
            @if let Some(parameters) = parameters { (parameter_table(parameters)) }
            @for (media_type, body) in entries(operation.pointer("/requestBody/content")) {
                p { "Body: " (type_of(body.get("schema"))) " as " code { (media_type) } }
                @if let Some(example) = body.get("example") { pre { (pretty(example)) } }
            }
            (response_table(operation.get("responses")))
        }
    }
}

/// A text with its `code` as HTML.
fn prose(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn parameter_table(parameters: &[Value]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Parameter" } th { "In" } th { "Type" } th { "Description" } } }
            tbody { @for parameter in parameters { tr {
                td { code { (text(parameter, "/name")) } @if parameter.get("required") == Some(&Value::Bool(true)) { " *" } }
                td { (text(parameter, "/in")) }
                td { (type_of(parameter.get("schema"))) }
                td.wide { (prose(text(parameter, "/description"))) }
            } } }
        } }
    }
}

fn response_table(responses: Option<&Value>) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Status" } th { "Body" } th { "Description" } } }
            tbody { @for (status, response) in entries(responses) { tr {
                td { (status) }
                td { @for (media_type, body) in entries(response.get("content")) {
                    (type_of(body.get("schema"))) " " span.quiet { (media_type) }
                } }
                td.wide { (prose(text(response, "/description"))) }
            } } }
        } }
    }
}

fn schema_section(name: &str, schema: &Value) -> Markup {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    html! {
        section id=(anchor(name)) {
            h3 { (name) }
            p { (prose(text(schema, "/description"))) }
            @if let Some(example) = schema.get("example") { pre { (pretty(example)) } }
            div.scroll { table {
                thead { tr { th { "Field" } th { "Type" } th { "Description" } } }
                tbody { @for (field, schema) in entries(schema.get("properties")) { tr {
                    td { code { (field) } @if required.contains(&field) { " *" } }
                    td { (type_of(Some(schema))) }
                    td.wide { (prose(text(schema, "/description"))) (allowed(schema)) }
                } } }
            } }
        }
    }
}

/// The type of a value, linked to its section on this page.
fn type_of(schema: Option<&Value>) -> Markup {
    let Some(schema) = schema else {
        return html! {};
    };
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return html! { a href={ "#" (anchor(name)) } { (name) } };
    }
    for combination in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema.get(combination).and_then(Value::as_array) {
            return html! { @for (index, choice) in choices.iter().enumerate() {
                @if index > 0 { " or " } (type_of(Some(choice)))
            } };
        }
    }
    if let Some(items) = schema.get("items") {
        return html! { "list of " (type_of(Some(items))) };
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(_) | None => "any".into(),
    };
    html! { (kind) @if let Some(format) = schema.get("format").and_then(Value::as_str) { " " span.quiet { (format) } } }
}

/// The allowed values of an enumeration.
fn allowed(schema: &Value) -> Markup {
    let values = schema.get("enum").and_then(Value::as_array);
    html! { @for (index, value) in values.into_iter().flatten().filter_map(Value::as_str).enumerate() {
        @if index > 0 { ", " } @else { " " } code { (value) }
    } }
}

fn anchor(name: &str) -> String {
    format!("type-{name}")
}

fn entries(object: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let object: Option<&Map<String, Value>> = object.and_then(Value::as_object);
    object.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_shows_every_operation_and_type() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        let page = page(&document).into_string();
        for (path, method, operation) in operations(&document) {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
            assert!(
                !text(operation, "/summary").is_empty(),
                "{method} {path} says what it does"
            );
        }
        for (name, _) in entries(document.pointer("/components/schemas")) {
            assert!(page.contains(&format!("id=\"type-{name}\"")), "{name}");
        }
        assert!(!page.contains("<script"), "the page needs no script");
        for link in page.split("href=\"#").skip(1) {
            let anchor = link.split('"').next().unwrap();
            assert!(
                page.contains(&format!("id=\"{anchor}\"")),
                "{anchor} is linked to and missing"
            );
        }
    }
}
