//! Registered secrets, such as configured keys, in every form in which they are written.

use crate::{spans::Span, words};
use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// The shortest maskable value; shorter ones would mask ordinary words.
const SHORTEST: usize = 8;
/// A phrase of this many bytes does not occur by chance.
const SURELY_A_PHRASE: usize = 20;
/// Neither does one with this many words and bytes.
const WORDS_OF_A_PHRASE: usize = 4;
const SHORT_PHRASE: usize = 16;
/// Placeholders for keys that are not needed.
const PLACEHOLDERS: &[&str] = &[
    "a",
    "ai",
    "any",
    "anything",
    "api",
    "change",
    "changeme",
    "default",
    "demo",
    "dev",
    "dummy",
    "empty",
    "example",
    "fake",
    "foo",
    "for",
    "here",
    "insert",
    "is",
    "key",
    "llama",
    "lm",
    "local",
    "localai",
    "localhost",
    "me",
    "my",
    "needed",
    "no",
    "none",
    "not",
    "null",
    "ollama",
    "openai",
    "pass",
    "password",
    "placeholder",
    "provider",
    "required",
    "sample",
    "secret",
    "server",
    "sk",
    "some",
    "studio",
    "test",
    "testing",
    "the",
    "this",
    "to",
    "token",
    "unused",
    "value",
    "vllm",
    "x",
    "xxx",
    "your",
];

#[derive(Default)]
struct Known {
    /// The forms, longest first.
    forms: Vec<String>,
    finder: Option<AhoCorasick>,
}

static KNOWN: LazyLock<RwLock<Arc<Known>>> = LazyLock::new(RwLock::default);

/// Whether a value can be masked everywhere without masking ordinary text: it is not short, not one or two words, and not a
/// placeholder.
pub fn is_maskable(value: &str) -> bool {
    let bytes = value.as_bytes();
    if value.chars().count() < SHORTEST || words::is_monotonous(bytes) || is_placeholder(value) {
        return false;
    }
    let all_digits = bytes.iter().all(u8::is_ascii_digit);
    let long = bytes.len() >= SURELY_A_PHRASE
        || (bytes.len() >= SHORT_PHRASE && (all_digits || words::count(bytes) >= WORDS_OF_A_PHRASE));
    let marked = bytes
        .iter()
        .any(|byte| !byte.is_ascii_alphanumeric() && !b" -_./:".contains(byte));
    long || marked || !(words::is_wordy(bytes) || all_digits)
}

fn is_placeholder(value: &str) -> bool {
    value
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .all(|word| PLACEHOLDERS.contains(&word.to_ascii_lowercase().as_str()))
        && value.bytes().filter(u8::is_ascii_digit).count() <= 4
}

/// Masks this value from now on, even quoted, escaped or encoded. Returns `false` if that would mask ordinary text: see
/// [`is_maskable`].
pub fn register_secret(secret: String) -> bool {
    let secret = secret.trim();
    if !is_maskable(secret) {
        return false;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let mut forms = known.forms.clone();
    for form in forms_of(secret) {
        if form.len() >= SHORTEST && !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let finder = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(&forms)
        .ok();
    *known = Arc::new(Known { forms, finder });
    true
}

/// The value as it is, quoted in JSON and Rust, percent-encoded, and within base64 of anything.
fn forms_of(secret: &str) -> Vec<String> {
    let inner = |quoted: &str| {
        quoted
            .get(1..quoted.len().saturating_sub(1))
            .unwrap_or_default()
            .to_owned()
    };
    let json = inner(&serde_json::to_string(secret).unwrap_or_default());
    let mut forms = vec![
        secret.to_owned(),
        inner(&serde_json::to_string(&json).unwrap_or_default()),
        json,
        inner(&format!("{secret:?}")),
        percent_encoded(secret, b"-_.~"),
        percent_encoded(secret, b"-_.~!$&'()*+,;=:@"),
    ];
    for offset in 0..3 {
        for engine in [
            base64::engine::general_purpose::STANDARD_NO_PAD,
            base64::engine::general_purpose::URL_SAFE_NO_PAD,
        ] {
            let padded = [&b"\0\0"[..offset], secret.as_bytes()].concat();
            let encoded = engine.encode(&padded);
            // The characters at both ends also depend on the neighbours.
            let start = [0, 2, 3][offset];
            let end = padded.len() * 4 / 3;
            forms.extend(encoded.get(start..end.min(encoded.len())).map(str::to_owned));
        }
    }
    forms
}

fn percent_encoded(text: &str, kept: &[u8]) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

/// Adds the spans of registered values.
pub(crate) fn find(text: &[u8], spans: &mut Vec<Span>) {
    let known = Arc::clone(&KNOWN.read().unwrap_or_else(PoisonError::into_inner));
    if let Some(finder) = &known.finder {
        spans.extend(finder.find_iter(text).map(|found| found.range()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_words_are_not_maskable() {
        for value in [
            "lm-studio",
            "ollama",
            "test",
            "changeme123",
            "none-needed",
            "password",
            "sk-no-key-required",
            "12345678",
            "no-api-key-required",
            "your-api-key-here",
            "xxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-xxxxxxxxxxxxxxxxxxxx",
            "root",
            "lm-studio-local-server",
            "dummy",
            "EMPTY",
            "not-needed",
            "localhost",
            "postgres",
            "database",
            "",
            " ",
        ] {
            assert!(!is_maskable(value), "{value}");
        }
    }

    #[test]
    fn keys_and_phrases_are_maskable() {
        for value in [
            "sk-test-0123456789abcdef",
            "planted value of the key",
            "a-token-of-this-test",
            "hunter2\"with\\marks",
            "correct-horse-battery-staple-0123456789",
            "a-header-that-nobody-may-see",
            "9f86d081884c",
            "Tr0ub4dor&3",
            "xkqjzvbnmw",
            "a-secret-in-a-hunk",
        ] {
            assert!(is_maskable(value), "{value}");
        }
    }
}
