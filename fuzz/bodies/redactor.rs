//! The masker: JSON stays JSON of the same shape, a stream is masked like the whole, and a masked text stays as it is.

use serde_json::Value;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let masked = secrets::redact(&text);
    assert_eq!(secrets::redact(&masked), masked);
    if let Ok(before) = serde_json::from_str::<Value>(&text) {
        let after: Value = serde_json::from_str(&masked).unwrap_or_else(|error| panic!("{error}: {masked}"));
        assert!(same_shape(&before, &after), "{before} {after}");
    } else {
        let mut masker = secrets::Masker::default();
        let mut streamed = Vec::new();
        for piece in text.as_bytes().chunks(13) {
            streamed.extend(masker.push(piece));
        }
        streamed.extend(masker.finish());
        assert_eq!(String::from_utf8(streamed).unwrap(), masked);
    }
}

fn same_shape(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::String(_), Value::String(_)) => true,
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len()
                && before
                    .iter()
                    .zip(after)
                    .all(|(before, after)| same_shape(before, after))
        }
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len()
                && before
                    .iter()
                    .all(|(name, before)| after.get(name).is_some_and(|after| same_shape(before, after)))
        }
        (before, after) => before == after,
    }
}
