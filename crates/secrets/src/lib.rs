//! Masks secrets in texts: registered values, and whatever looks like a secret.
//!
//! Rules (`rules.toml`) decide what looks like a secret, after one pass for keywords, so that text without secrets costs
//! little. Words, names, digests and code stay: masking them costs more than it protects. No mask crosses the end of a
//! quoted string, so JSON stays JSON. Masking a masked text changes nothing.

mod address;
mod assignment;
mod find;
mod json;
mod key_block;
mod known;
mod rules;
mod spans;
mod stream;
mod value;
mod words;

pub use json::redact_json;
pub use known::{is_maskable, register_secret};
pub use spans::MASK;
pub use stream::Masker;

use std::borrow::Cow;

/// The text with registered secrets, and whatever looks like a secret, masked. JSON stays JSON.
pub fn redact(text: &str) -> String {
    redacted(text).into_owned()
}

/// Like [`redact`], without a copy if nothing is masked.
pub fn redacted(text: &str) -> Cow<'_, str> {
    json::redacted_within(text, 0)
}

/// The text with only registered secrets masked, for texts that are used further, such as a task's instructions.
pub fn mask_known(text: &str) -> Cow<'_, str> {
    let spans = spans::settled(text.as_bytes(), |text| {
        let mut found = Vec::new();
        known::find(text, &mut found);
        found
    });
    spans::masked(text, &spans)
}

/// The ranges that [`redact`] would mask in a plain text.
pub fn places(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    spans::settled(text, |text| {
        let mut found = Vec::new();
        known::find(text, &mut found);
        find::find(text, &mut found);
        found
    })
}

/// Masks a text that is not JSON.
fn redacted_plain(text: &str) -> Cow<'_, str> {
    spans::masked(text, &places(text.as_bytes()))
}
