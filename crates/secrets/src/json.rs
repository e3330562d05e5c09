//! Masks JSON: each string separately, so that the result is JSON of the same shape. A string's name counts too:
//! `{"password": "…"}`.

use crate::{MASK, assignment, redacted_plain, value};
use serde_json::Value;
use std::borrow::Cow;

/// How many levels of JSON within strings are searched.
const DEEPEST: usize = 4;
/// Longer texts are searched as plain text, in which no mask crosses the end of a quoted string.
const LONGEST: usize = 16 << 20;

/// The document with secrets masked in its strings. Names stay, except for registered values.
pub fn redact_json(document: &Value) -> Value {
    value_under(document, None)
}

fn value_under(document: &Value, name: Option<&str>) -> Value {
    match document {
        Value::String(text) => Value::String(leaf(text, name, 0).into_owned()),
        Value::Array(items) => items.iter().map(|item| value_under(item, name)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (crate::mask_known(name).into_owned(), value_under(value, Some(name))))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => document.clone(),
    }
}

/// Masks a string with this name.
fn leaf<'a>(text: &'a str, name: Option<&str>, depth: usize) -> Cow<'a, str> {
    let named = name.is_some_and(|name| assignment::name_kind(name.as_bytes()).is_some());
    // As strict as elsewhere: schemas and reports have words under such names too.
    let is_secret = |text: &str| named && value::is_secret(text.as_bytes(), value::Place::Named, true);
    if is_secret(text) {
        return Cow::Borrowed(MASK);
    }
    match redacted_within(text, depth) {
        // What is left can look like a secret without the part that was masked.
        Cow::Owned(masked) if is_secret(&masked) => Cow::Borrowed(MASK),
        masked => masked,
    }
}

/// The text with secrets masked; if it is JSON, within its strings.
pub(crate) fn redacted_within(text: &str, depth: usize) -> Cow<'_, str> {
    let trimmed = text.trim_start();
    let may_be = depth < DEEPEST && text.len() <= LONGEST && (trimmed.starts_with('{') || trimmed.starts_with('['));
    if may_be && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return in_document(text, depth);
    }
    redacted_plain(text)
}

/// Masks the strings of a valid JSON document, and keeps every other byte.
fn in_document(text: &str, depth: usize) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked: Option<String> = None;
    let (mut copied, mut at) = (0, 0);
    let mut name: Option<String> = None;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'"') {
        let start = at + found;
        let end = string_end(bytes, start);
        let Ok(content) = serde_json::from_str::<String>(&text[start..end]) else {
            return Cow::Borrowed(text);
        };
        let behind = bytes[end..]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .map(|skipped| bytes[end + skipped]);
        let is_name = behind == Some(b':');
        let clean = match is_name {
            true => crate::mask_known(&content),
            false => leaf(&content, name.as_deref(), depth + 1),
        };
        if let Cow::Owned(clean) = own(clean, &content) {
            let out = masked.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(&text[copied..start]);
            out.push_str(&serde_json::to_string(&clean).unwrap_or_else(|_| format!("\"{MASK}\"")));
            copied = end;
        }
        if is_name {
            name = Some(content);
        } else if behind != Some(b',') || !next_is_text(bytes, end) {
            // In an array, the next string has the same name.
            name = None;
        }
        at = end;
    }
    match masked {
        Some(mut out) => {
            out.push_str(&text[copied..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// Owned only if something changed.
fn own<'a>(clean: Cow<'_, str>, content: &'a str) -> Cow<'a, str> {
    if *clean == *content {
        Cow::Borrowed(content)
    } else {
        Cow::Owned(clean.into_owned())
    }
}

fn next_is_text(bytes: &[u8], end: usize) -> bool {
    bytes[end..]
        .iter()
        .find(|byte| !(byte.is_ascii_whitespace() || **byte == b','))
        == Some(&b'"')
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}
