//! Keeps secrets out of whatever is written down: values that are known to be secret, and what looks like one.
//!
//! What looks like a secret is decided by rules (`rules.toml`) over one pass for keywords, so that text without any costs
//! little. Words, names, digests and code are left as they are: a mask that hits them costs more than it protects.
//! Nothing masked reaches over the end of a quoted text, so JSON stays JSON.

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

/// The text with every registered secret, and whatever looks like one, masked. JSON stays JSON.
pub fn redact(text: &str) -> String {
    redacted(text).into_owned()
}

/// What [`redact`] does, without a copy where nothing had to be masked.
pub fn redacted(text: &str) -> Cow<'_, str> {
    json::redacted_within(text, 0)
}

/// The text with every registered secret masked, and nothing that merely looks like one: for what is worked with, such
/// as a task's instructions.
pub fn mask_known(text: &str) -> Cow<'_, str> {
    let spans = spans::settled(text.as_bytes(), |text| {
        let mut found = Vec::new();
        known::find(text, &mut found);
        found
    });
    spans::masked(text, &spans)
}

/// The places that [`redact`] would mask in a plain text.
pub fn places(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    spans::settled(text, |text| {
        let mut found = Vec::new();
        known::find(text, &mut found);
        find::find(text, &mut found);
        found
    })
}

/// Masks in a text that is no JSON document.
fn redacted_plain(text: &str) -> Cow<'_, str> {
    spans::masked(text, &places(text.as_bytes()))
}
