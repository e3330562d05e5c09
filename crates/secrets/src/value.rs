//! Decides whether a value with a secret name is a secret, or a word, a reference or code.

use crate::words;

const SHORTEST: usize = 8;
const SHORTEST_PASSWORD: usize = 6;
const LONGEST: usize = 4096;
/// Placeholders for secrets.
const PLACEHOLDERS: [&str; 31] = [
    "change",
    "example",
    "placeholder",
    "your",
    "insert",
    "replace",
    "dummy",
    "fake",
    "sample",
    "test",
    "todo",
    "xxx",
    "none",
    "null",
    "nil",
    "undefined",
    "true",
    "false",
    "required",
    "optional",
    "redacted",
    "masked",
    "hidden",
    "password",
    "passwd",
    "secret",
    "token",
    "admin",
    "root",
    "foo",
    "string",
];

/// Where a value is, which determines how likely it is a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An environment variable named for a password, in capitals and without blanks.
    Password,
    /// Another environment variable.
    Environment,
    /// Anything else with a name.
    Named,
}

/// Whether the value is a literal secret, given its place.
pub(crate) fn is_secret(value: &[u8], place: Place, quoted: bool) -> bool {
    let shortest = if place == Place::Password {
        SHORTEST_PASSWORD
    } else {
        SHORTEST
    };
    if value.len() < shortest || value.len() > LONGEST || is_reference(value, quoted) || is_placeholder(value) {
        return false;
    }
    if words::is_monotonous(value) {
        return false;
    }
    match place {
        // Even a word counts as a password here.
        Place::Password => !is_code(value),
        Place::Environment => {
            is_random(value) || (!words::is_wordy(value) && words::kinds(value) >= 2 && !is_code(value))
        }
        Place::Named => is_random(value) && (quoted || !is_code(value)),
    }
}

/// Whether a value contains no words and looks random.
pub(crate) fn is_random(value: &[u8]) -> bool {
    let letter = value.iter().any(u8::is_ascii_alphabetic);
    let digit = value.iter().any(u8::is_ascii_digit);
    let mark = value.iter().any(|byte| b"!@#$%^&*+=?~".contains(byte));
    if !letter || words::is_wordy(value) && !(mark && digit) {
        return false;
    }
    let enough = if value.len() < 16 { 2.7 } else { 3.0 };
    (digit || mark || value.len() >= 16) && words::entropy(value) >= enough
}

/// Whether it is a reference or a sentence: `$VAR`, `${VAR}`, `<token>`, `{{ secret }}`, `%s`, `/run/secrets/x`, `https://…`, `[redacted]`.
fn is_reference(value: &[u8], quoted: bool) -> bool {
    let Some(first) = value.first() else { return true };
    let marks = |pattern: &[u8]| value.windows(pattern.len()).any(|window| window == pattern);
    if b"$<{%([*&#~".contains(first) || marks(b"${") || marks(b"{{") || marks(b"://") || marks(b"$(") || marks(b"<%") {
        return !(*first == b'$' && has_symbols(value));
    }
    if quoted && value.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
        return true;
    }
    let path = matches!(first, b'/' | b'.') && value.iter().filter(|byte| **byte == b'/').count() >= 1;
    path && value
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
        && (value.len() < 30 || words::is_wordy(value))
}

/// Whether it has marks that variables lack, as in `$ecret!x9`.
fn has_symbols(value: &[u8]) -> bool {
    value[1..].iter().any(|byte| b"!@#%^&*+=?".contains(byte))
}

/// Whether it is code: `os.environ["X"]`, `self.token`, `fn(x)`, `a::b`, `x->y`, `Some(x)`, `cfg.key+1`.
fn is_code(value: &[u8]) -> bool {
    let has = |pattern: &[u8]| value.windows(pattern.len()).any(|window| window == pattern);
    let calls = value.iter().any(|byte| b"()[]{}".contains(byte)) || has(b"::") || has(b"->") || has(b"=>");
    let member = value.iter().filter(|byte| **byte == b'.').count() >= 1
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
        && words::is_wordy(value);
    // A constant: `D3D10_RETURN_TYPE`.
    let constant = value.contains(&b'_')
        && value
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    calls || member || constant
}

fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let trimmed: &[u8] = lower.strip_prefix(b"my").map_or(&lower, |rest| {
        rest.strip_prefix(b"-").or(rest.strip_prefix(b"_")).unwrap_or(rest)
    });
    // `postgres_password_here`: words that name the expected secret.
    let says_so = |word: &[u8]| trimmed.windows(word.len()).any(|window| window == word);
    let hint = [&b"password"[..], b"passwd", b"secret", b"_here", b"-here", b"your"]
        .into_iter()
        .any(says_so);
    let joined = trimmed.iter().any(|byte| matches!(byte, b'_' | b'-' | b'.'));
    if hint && joined && words::is_wordy(trimmed) {
        return true;
    }
    PLACEHOLDERS.iter().any(|word| {
        trimmed
            .strip_prefix(word.as_bytes())
            .is_some_and(|rest| rest.len() <= 4 || words::is_wordy(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_password_may_be_a_word() {
        for value in ["hunter2", "s3cr3t-Pa55w0rd", "correcthorse", "letmein99", "Zq8!x"] {
            let expected = value.len() >= SHORTEST_PASSWORD;
            assert_eq!(is_secret(value.as_bytes(), Place::Password, false), expected, "{value}");
        }
        for value in [
            "changeme",
            "$DB_PASS",
            "<password>",
            "example123",
            "os.environ.get",
            "test",
            "password",
            "null",
        ] {
            assert!(!is_secret(value.as_bytes(), Place::Password, false), "{value}");
        }
    }

    #[test]
    fn other_values_must_look_random() {
        for value in [
            "Tr0ub4dor&3xyz",
            "a1b2c3d4e5f6",
            "9f86d081884c7d65",
            "xkqjzvbnmwrtplkjq",
        ] {
            assert!(is_secret(value.as_bytes(), Place::Named, true), "{value}");
        }
        for value in [
            "TokenStream",
            "self.password",
            "get_secret_value",
            "application/json",
            "must be set",
            "str",
            "String",
            "abcdefgh-short-and-long",
            "my-password",
            "secretKeyRef",
            "/run/secrets/db",
            "a-token-of-this-test",
        ] {
            assert!(!is_secret(value.as_bytes(), Place::Named, true), "{value}");
        }
    }
}
