//! Keeps secrets out of logs, spans and whatever else is written down.

use regex::Regex;
use std::{
    borrow::Cow,
    sync::{LazyLock, PoisonError, RwLock},
};

/// Shorter values are not masked: they would mask ordinary words.
const MIN_SECRET_LENGTH: usize = 8;
/// So long is no word.
const SURELY_RANDOM: usize = 32;
const MASK: &str = "[redacted]";

/// The registered values, longest first, so that one that holds another is masked as a whole.
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// What looks like a secret wherever it comes from. The part before the secret is kept, to show what was masked.
static PATTERNS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let credentials = r"(?P<scheme>(?i:bearer|basic)\s+)(?P<token>[A-Za-z0-9._~+/=-]{8,})";
    let header = r#"(?P<header>(?i:x-api-key|api-key|authorization|proxy-authorization)["']?\s*[:=]\s*["']?)(?P<value>[A-Za-z0-9._~+/=-]{8,})"#;
    let key = r"\b(?P<kind>sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza)(?P<rest>[A-Za-z0-9_-]{12,})";
    let address = r"(?P<address>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@";
    Regex::new(&format!("{credentials}|{header}|{key}|{address}")).ok()
});

/// Masks this value from now on, also where it is quoted or escaped. Values under eight characters are ignored.
pub fn register_secret(secret: String) {
    if secret.chars().count() < MIN_SECRET_LENGTH {
        return;
    }
    let inner = |quoted: String| quoted.trim_start_matches('"').trim_end_matches('"').to_owned();
    let as_json = serde_json::to_string(&secret).map(inner).unwrap_or_default();
    let as_debug = inner(format!("{secret:?}"));
    let mut secrets = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    for form in [secret, as_json, as_debug] {
        if form.len() >= MIN_SECRET_LENGTH && !secrets.contains(&form) {
            secrets.push(form);
        }
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
}

/// The text with every registered secret, and whatever looks like one, masked.
pub fn redact(text: &str) -> String {
    redacted(text).into_owned()
}

/// The text with every registered secret masked, and nothing that merely looks like one: for what is worked with, such
/// as a task's instructions.
pub fn mask_known(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for secret in SECRETS.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if text.contains(secret.as_str()) {
            text = Cow::Owned(text.replace(secret.as_str(), MASK));
        }
    }
    text
}

/// What [`redact`] does, without a copy where nothing had to be masked.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    let text = mask_known(text);
    let Some(patterns) = PATTERNS.as_ref() else {
        return text;
    };
    if !patterns.is_match(&text) {
        return text;
    }
    let masked = patterns.replace_all(&text, |found: &regex::Captures<'_>| {
        let named = |name| found.name(name).map(|part| part.as_str());
        let candidate = ["token", "value", "rest"].into_iter().find_map(named);
        if candidate.is_some_and(|candidate| !is_random(candidate)) {
            return found[0].to_owned();
        }
        match named("address") {
            Some(address) => format!("{address}{MASK}@"),
            None => {
                let kept = named("scheme").or_else(|| named("header")).or_else(|| named("kind"));
                format!("{}{MASK}", kept.unwrap_or_default())
            }
        }
    });
    Cow::Owned(masked.into_owned())
}

/// Whether it may be a secret, not a word: "basic functionality", "authorization: required", "sk-learn-pipeline".
fn is_random(candidate: &str) -> bool {
    candidate.bytes().any(|byte| byte.is_ascii_digit()) || candidate.len() >= SURELY_RANDOM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_value_is_masked_also_where_it_is_escaped() {
        register_secret("hunter2\"with\\marks".to_owned());
        assert_eq!(redact("key hunter2\"with\\marks."), "key [redacted].");
        let json = serde_json::to_string("hunter2\"with\\marks").unwrap();
        assert_eq!(redact(&json), "\"[redacted]\"");
    }

    #[test]
    fn a_value_that_holds_another_is_masked_whole() {
        register_secret("abcdefgh-short".to_owned());
        register_secret("abcdefgh-short-and-long".to_owned());
        assert_eq!(redact("<abcdefgh-short-and-long>"), "<[redacted]>");
    }

    #[test]
    fn short_values_mask_nothing() {
        register_secret("the".to_owned());
        assert_eq!(redact("the other"), "the other");
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_and_the_rest_kept() {
        for (text, expected) in [
            (
                "Authorization: Bearer abc.DEF-123456",
                "Authorization: Bearer [redacted]",
            ),
            ("x-api-key: 0123456789abcdef", "x-api-key: [redacted]"),
            ("key sk-proj-0123456789abcdef!", "key sk-[redacted]!"),
            (
                "clone https://me:pass-word@host/x.git",
                "clone https://me:[redacted]@host/x.git",
            ),
            ("ghp_0123456789abcdefABCDEF", "ghp_[redacted]"),
            (
                "risk-taking is not a key, nor is task-0123456789abcdef",
                "risk-taking is not a key, nor is task-0123456789abcdef",
            ),
            ("the bearer of news", "the bearer of news"),
            (
                "basic functionality, Basic authentication; authorization: required; sk-learn-pipeline",
                "basic functionality, Basic authentication; authorization: required; sk-learn-pipeline",
            ),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn the_patterns_are_valid() {
        assert!(PATTERNS.is_some());
    }
}
