//! The rules of `rules.toml`, and the automaton that finds their keywords.

use crate::{spans::Span, words};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;
use serde::Deserialize;
use std::sync::{LazyLock, OnceLock};

const RULES: &str = include_str!("rules.toml");
/// The default minimum entropy in bits per character.
const DEFAULT_ENTROPY: f64 = 2.5;
/// The longest token; longer ones are masked up to this length.
const LONGEST_TOKEN: usize = 16 * 1024;
/// How far before its keyword a token may start.
const LONGEST_BEFORE: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    token: Vec<TokenRule>,
    named: Vec<NamedRule>,
}

/// A token with a known prefix.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRule {
    #[allow(dead_code, reason = "names the rule in the file and in tests")]
    pub(crate) id: String,
    pub(crate) prefix: Vec<String>,
    chars: Option<String>,
    #[serde(default)]
    min: usize,
    pattern: Option<String>,
    before: Option<String>,
    entropy: Option<f64>,
    #[serde(default)]
    words: bool,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
    #[serde(skip)]
    compiled_before: OnceLock<Option<Regex>>,
}

/// A value of a certain shape under a certain name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedRule {
    pub(crate) name: Vec<String>,
    value: String,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// What a keyword indicates.
#[derive(Clone, Copy)]
pub(crate) enum Meaning {
    /// A prefix of this token rule.
    Token(usize),
    /// A name of this rule.
    Named(usize),
    /// Part of the name of a secret.
    SecretName,
    /// An authentication scheme, followed by its credential.
    Scheme,
    /// A command-line option with a user name and password.
    UserOption,
    /// The middle of an address.
    Address,
    /// The first line of a key.
    KeyBegins,
    /// The last line of a key.
    KeyEnds,
    /// The start of a key's body.
    KeyBody,
    /// The start of a whole key in base64.
    KeyInBase64,
}

pub(crate) struct Rules {
    pub(crate) tokens: Vec<TokenRule>,
    pub(crate) named: Vec<NamedRule>,
    /// The meaning of each pattern of the finder, and its exact text if case matters.
    pub(crate) meanings: Vec<(Meaning, Option<Box<[u8]>>)>,
    pub(crate) finder: AhoCorasick,
}

const SECRET_NAMES: [&str; 11] = [
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api",
    "key",
    "credential",
    "auth",
    "cookie",
    "session",
];
const SCHEMES: [&str; 3] = ["bearer", "basic", "digest"];
const USER_OPTIONS: [&str; 2] = ["-u ", "--user"];
const KEY_BODIES: [&str; 8] = [
    "MIIEvAIBADAN",
    "MIIEvQIBADAN",
    "MIIEvgIBADAN",
    "IBAAKCA",
    "b3BlbnNzaC1rZXktdjE",
    "MHcCAQEE",
    "MIGHAgEAMBMG",
    "MC4CAQAwBQYDK2Vw",
];

/// The rules; `None` only if the file is invalid, which a test excludes.
pub(crate) fn rules() -> Option<&'static Rules> {
    static ALL: LazyLock<Option<Rules>> = LazyLock::new(|| {
        let File { token, named } = toml::from_str(RULES).ok()?;
        let mut patterns: Vec<String> = Vec::new();
        let mut meanings = Vec::new();
        let mut add = |text: &str, meaning, exact: bool| {
            patterns.push(text.to_owned());
            meanings.push((meaning, exact.then(|| text.as_bytes().into())));
        };
        for (place, rule) in token.iter().enumerate() {
            rule.prefix
                .iter()
                .for_each(|prefix| add(prefix, Meaning::Token(place), true));
        }
        for (place, rule) in named.iter().enumerate() {
            rule.name
                .iter()
                .for_each(|name| add(name, Meaning::Named(place), false));
        }
        SECRET_NAMES
            .iter()
            .for_each(|name| add(name, Meaning::SecretName, false));
        SCHEMES.iter().for_each(|name| add(name, Meaning::Scheme, false));
        USER_OPTIONS
            .iter()
            .for_each(|name| add(name, Meaning::UserOption, true));
        add("://", Meaning::Address, true);
        add("-----BEGIN", Meaning::KeyBegins, true);
        add("---- BEGIN", Meaning::KeyBegins, true);
        add("Private-Lines: ", Meaning::KeyBegins, true);
        add("-----END", Meaning::KeyEnds, true);
        KEY_BODIES.iter().for_each(|text| add(text, Meaning::KeyBody, true));
        add("LS0tLS1CRUdJTi", Meaning::KeyInBase64, true);
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&patterns)
            .ok()?;
        Some(Rules {
            tokens: token,
            named,
            meanings,
            finder,
        })
    });
    ALL.as_ref()
}

impl TokenRule {
    /// The span to mask of the token with this prefix.
    ///
    /// The prefix must start a word; a secret that was `found` directly before it ends the previous one.
    pub(crate) fn find(&self, text: &[u8], start: usize, prefix_end: usize, found: &[Span]) -> Option<(usize, usize)> {
        let first = match &self.before {
            Some(before) => {
                let from = start.saturating_sub(LONGEST_BEFORE);
                let regex = self
                    .compiled_before
                    .get_or_init(|| Regex::new(&format!("(?-u)(?:{before})\\z")).ok());
                from + regex.as_ref()?.find(&text[from..start])?.start()
            }
            None => start,
        };
        let needs_boundary = text[first].is_ascii_alphanumeric() || text[first] == b'_';
        let behind_secret = || found.iter().rev().take(4).any(|span| span.end == first);
        if needs_boundary && first > 0 && continues_a_word(text, first) && !behind_secret() {
            return None;
        }
        let rest = &text[prefix_end..text.len().min(prefix_end + LONGEST_TOKEN)];
        let length = match &self.pattern {
            Some(pattern) => {
                let regex = self
                    .compiled
                    .get_or_init(|| Regex::new(&format!("(?-u)\\A(?:{pattern})")).ok());
                regex.as_ref()?.find(rest)?.end()
            }
            None => self.run(rest)?,
        };
        let masked_from = if self.before.is_some() { first } else { prefix_end };
        let secret = &text[masked_from..prefix_end + length];
        (self.before.is_some() || self.is_random(secret)).then_some((masked_from, prefix_end + length))
    }

    fn run(&self, rest: &[u8]) -> Option<usize> {
        let belongs = class(self.chars.as_deref().unwrap_or_default());
        let mut length = rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
        // A trailing full stop or dash is not part of a token.
        while length > 0 && matches!(rest[length - 1], b'.' | b'-') {
            length -= 1;
        }
        (length >= self.min.max(1)).then_some(length)
    }

    fn is_random(&self, secret: &[u8]) -> bool {
        let chance = words::entropy(secret) >= self.entropy.unwrap_or(DEFAULT_ENTROPY);
        chance && (self.words || !words::is_wordy(secret))
    }
}

impl NamedRule {
    /// Whether a value has the shape of this rule's secrets.
    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        let regex = self
            .compiled
            .get_or_init(|| Regex::new(&format!("(?-u)\\A(?:{})\\z", self.value)).ok());
        let shaped = regex.as_ref().is_some_and(|regex| regex.is_match(value));
        shaped && value.iter().any(u8::is_ascii_digit) && words::entropy(value) >= 3.0 && !words::is_wordy(value)
    }
}

/// Whether a word continues across this position; the letter of an escape such as `\n` before it doesn't count.
fn continues_a_word(text: &[u8], at: usize) -> bool {
    let before = text[at - 1];
    if !(before.is_ascii_alphanumeric() || before == b'_') {
        return false;
    }
    let escaped = matches!(before, b'n' | b't' | b'r') && at >= 2 && text[at - 2] == b'\\';
    let percent = at >= 3 && text[at - 3] == b'%' && before.is_ascii_hexdigit() && text[at - 2].is_ascii_hexdigit();
    // A terminal's colour sequence.
    let colour = before == b'm'
        && text[..at - 1]
            .iter()
            .rev()
            .take(12)
            .find(|byte| !(byte.is_ascii_digit() || **byte == b';'))
            == Some(&b'[');
    !(escaped || percent || colour)
}

fn class(name: &str) -> fn(u8) -> bool {
    match name {
        "alnum" => |byte| byte.is_ascii_alphanumeric(),
        "hex" => |byte| byte.is_ascii_hexdigit(),
        "lower" => |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        "upper" => |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        "base64" => |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
        "base64url" => |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'='),
        "dotted" => |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'='),
        "any" => |byte| {
            byte.is_ascii_graphic()
                && !matches!(
                    byte,
                    b'"' | b'\'' | b'`' | b'\\' | b'<' | b'>' | b'&' | b';' | b',' | b')'
                )
        },
        // "word"
        _ => |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_valid() {
        let rules = rules().expect("the file of rules");
        for rule in &rules.tokens {
            assert!(!rule.prefix.is_empty(), "{}", rule.id);
            for pattern in rule.pattern.iter().chain(&rule.before) {
                assert!(
                    Regex::new(&format!("(?-u)\\A(?:{pattern})")).is_ok(),
                    "{}: {pattern}",
                    rule.id
                );
            }
            let known = [
                "alnum",
                "hex",
                "lower",
                "upper",
                "base64",
                "base64url",
                "dotted",
                "any",
                "word",
            ];
            assert!(
                rule.chars.as_deref().is_none_or(|chars| known.contains(&chars)),
                "{}",
                rule.id
            );
            assert!(
                rule.pattern.is_some() != (rule.chars.is_some() && rule.min > 0),
                "{}",
                rule.id
            );
        }
        for rule in &rules.named {
            assert!(Regex::new(&rule.value).is_ok(), "{}", rule.value);
        }
    }
}
