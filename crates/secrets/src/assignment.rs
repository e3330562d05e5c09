//! Finds secrets by their names: `DB_PASSWORD=…`, `"api_key": "…"`, `--token …`, `secret := "…"`.

use crate::{
    spans::Span,
    value::{self, Place},
};

/// The longest name.
const LONGEST_NAME: usize = 80;
/// The most blanks between a name, its sign and its value.
const MOST_BLANKS: usize = 12;
/// The longest value; longer ones are not single secrets, or have their own rule.
const LONGEST_VALUE: usize = 4096;
/// The longest type between a name and its value: `token: &'static str = "…"`.
const LONGEST_TYPE: usize = 40;

/// A name and its value.
pub(crate) struct Assignment {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) quoted: bool,
    /// Whether the sign is `=` without blanks.
    pub(crate) tight: bool,
}

/// The assignment whose name contains this range.
pub(crate) fn around(text: &[u8], start: usize, end: usize) -> Option<Assignment> {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let mut from = start;
    while from > 0 && start - from < LONGEST_NAME && in_name(text[from - 1]) {
        from -= 1;
    }
    // The letter of an escape is not part of a name.
    if from > 0 && text[from - 1] == b'\\' && matches!(text[from], b'n' | b'r' | b't') && from < start {
        from += 1;
    }
    let mut to = end;
    while to < text.len() && to - end < LONGEST_NAME && in_name(text[to]) {
        to += 1;
    }
    let option = text[from..to].starts_with(b"--");
    let mut at = to;
    let quote_closed = skip_quote(text, &mut at);
    if text.get(at) == Some(&b']') {
        at += 1;
    }
    let before_sign = at;
    skip_blanks(text, &mut at);
    let sign_at = at;
    let Some(sign) = sign(text, at, quote_closed) else {
        // A command-line option needs no sign.
        return (option && at > before_sign)
            .then(|| literal(text, at))
            .flatten()
            .map(|(value, quoted)| Assignment {
                name: from..to,
                value,
                quoted,
                tight: false,
            });
    };
    at += sign;
    let after_sign = at;
    skip_blanks(text, &mut at);
    let (mut value, mut quoted) = literal(text, at)?;
    // `name: Type = value`
    if !quoted
        && text[sign_at] == b':'
        && let Some(found) = behind_type(text, after_sign)
    {
        (value, quoted) = found;
    }
    let tight =
        &text[sign_at..after_sign] == b"=" && sign_at == to && (value.start - after_sign) <= 2 && at == after_sign;
    Some(Assignment {
        name: from..to,
        value,
        quoted,
        tight,
    })
}

fn behind_type(text: &[u8], from: usize) -> Option<(Span, bool)> {
    let window = &text[from..text.len().min(from + LONGEST_TYPE)];
    let equals = window.windows(3).position(|three| three == b" = ")?;
    let of_type = |byte: &u8| byte.is_ascii_alphanumeric() || b" _:&'<>[]|.?".contains(byte);
    window[..equals]
        .iter()
        .all(of_type)
        .then(|| literal(text, from + equals + 3))
        .flatten()
}

fn skip_blanks(text: &[u8], at: &mut usize) {
    let from = *at;
    while *at < text.len() && *at - from < MOST_BLANKS && matches!(text[*at], b' ' | b'\t') {
        *at += 1;
    }
}

/// Steps over a quote, escaped or not.
fn skip_quote(text: &[u8], at: &mut usize) -> bool {
    let mut to = *at;
    while to < text.len() && to - *at < 4 && text[to] == b'\\' {
        to += 1;
    }
    if text.get(to).is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`')) {
        *at = to + 1;
        return true;
    }
    false
}

/// The length of the assignment sign.
fn sign(text: &[u8], at: usize, quote_closed: bool) -> Option<usize> {
    let rest = &text[at..];
    for sign in [&b"==="[..], b"==", b"!=", b"::"] {
        if rest.starts_with(sign) {
            return None;
        }
    }
    for sign in [&b":="[..], b"=>", b"?=", b"+=", b"=", b":"] {
        if rest.starts_with(sign) {
            return Some(sign.len());
        }
    }
    match rest.first() {
        // `<password>…</password>`, `("password", "…")`
        Some(b'>') => Some(1),
        Some(b',') if quote_closed => Some(1),
        _ => None,
    }
}

/// The value that starts here, without its quotes.
fn literal(text: &[u8], at: usize) -> Option<(Span, bool)> {
    let mut from = at;
    // Prefixes of string literals: b"…", f"…", r"…", u"…".
    let prefixed =
        text.get(from).is_some_and(u8::is_ascii_alphabetic) && matches!(text.get(from + 1), Some(b'"' | b'\''));
    if prefixed {
        from += 1;
    }
    let quote_at = {
        let mut at = from;
        skip_quote(text, &mut at).then_some(at)
    };
    let limit = |from: usize| text.len().min(from + LONGEST_VALUE);
    if let Some(from) = quote_at {
        let quote = text[from - 1];
        let ends = |byte: &u8| *byte == quote || matches!(byte, b'\n' | b'\r' | b'\\');
        let length = text[from..limit(from)].iter().position(ends)?;
        return Some((from..from + length, true));
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`\\,;<>|(){}".contains(byte) || !byte.is_ascii_graphic();
    let length = text[from..limit(from)]
        .iter()
        .position(ends)
        .unwrap_or(limit(from) - from);
    Some((from..from + length, false))
}

/// The secret of an assignment, if it is one.
pub(crate) fn secret(text: &[u8], assignment: &Assignment) -> Option<Span> {
    let place = place_of(&text[assignment.name.clone()], assignment)?;
    let mut value = assignment.value.clone();
    let bytes = &text[value.clone()];
    if !assignment.quoted {
        // An unquoted value followed by one of these is code: a call, a path, a template.
        let closes = text[value.end..].starts_with(b"</");
        if matches!(text.get(value.end), Some(b'(' | b'{' | b'<' | b'|')) && !closes {
            return None;
        }
        // In a query string, the next parameter starts here.
        if let Some(end) = bytes.iter().position(|byte| *byte == b'&') {
            value.end = value.start + end;
        }
        while value.end > value.start && matches!(text[value.end - 1], b'.' | b':' | b'?' | b']') {
            value.end -= 1;
        }
    }
    value::is_secret(&text[value.clone()], place, assignment.quoted).then_some(value)
}

/// The kind of place that a name indicates; `None` if it names no secret.
fn place_of(name: &[u8], assignment: &Assignment) -> Option<Place> {
    let kind = name_kind(name)?;
    let capitals = name
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    Some(match kind {
        Kind::Password if capitals && assignment.tight => Place::Password,
        _ if capitals && assignment.tight => Place::Environment,
        _ => Place::Named,
    })
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Password,
    Other,
}

/// Words that may follow the word that indicates a secret.
const TAILS: [&str; 27] = [
    "value",
    "val",
    "base",
    "base64",
    "b64",
    "prod",
    "production",
    "dev",
    "test",
    "testing",
    "staging",
    "live",
    "new",
    "old",
    "current",
    "default",
    "string",
    "str",
    "text",
    "data",
    "raw",
    "plain",
    "env",
    "primary",
    "secondary",
    "main",
    "hex",
];

/// The kind of secret that a name indicates by its words: `DB_PASSWORD`, `apiKey`, `aws.secret-access-key`; not
/// `token_count`, `secretName`, `public_key`.
pub(crate) fn name_kind(name: &[u8]) -> Option<Kind> {
    let mut words = words_of(name);
    while words
        .last()
        .is_some_and(|last| TAILS.contains(&last.as_str()) || last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        words.pop();
    }
    let last = words.pop()?;
    let before = words.last().map(String::as_str).unwrap_or_default();
    match last.as_str() {
        "password" | "passwd" | "passphrase" | "pwd" | "passwort" | "pgpassword" => Some(Kind::Password),
        "pass" if !before.is_empty() => Some(Kind::Password),
        "secret" | "token" | "apikey" | "apitoken" | "accesskey" | "secretkey" | "privatekey" | "authtoken"
        | "accesstoken" | "clientsecret" | "credential" | "credentials" | "authkey" | "sessionid" | "sessiontoken" => {
            Some(Kind::Other)
        }
        "key" => {
            let of_secrets = [
                "api",
                "access",
                "secret",
                "private",
                "account",
                "auth",
                "encryption",
                "signing",
                "master",
                "service",
                "license",
                "subscription",
                "admin",
                "app",
                "application",
                "storage",
                "client",
                "shared",
                "session",
                "deploy",
            ];
            of_secrets.contains(&before).then_some(Kind::Other)
        }
        // PGPASSWORD, MYSQLPASSWORD, GITHUBTOKEN
        joined if joined.len() > 8 && (joined.ends_with("password") || joined.ends_with("passwd")) => {
            Some(Kind::Password)
        }
        joined
            if joined.len() > 6
                && (joined.ends_with("secret") || joined.ends_with("apikey") || joined.ends_with("token")) =>
        {
            Some(Kind::Other)
        }
        _ => None,
    }
}

fn words_of(name: &[u8]) -> Vec<String> {
    name.split(|byte| !byte.is_ascii_alphanumeric())
        .flat_map(|part| part.chunk_by(|left, right| !(left.is_ascii_lowercase() && right.is_ascii_uppercase())))
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_classified_by_their_words() {
        for name in [
            "DB_PASSWORD",
            "password",
            "apiKey",
            "aws_secret_access_key",
            "aws.secret-access-key",
            "SecretAccessKey",
            "PGPASSWORD",
            "SECRET_KEY_BASE",
            "TOKEN_1",
            "GITHUB_TOKEN",
            "x-api-key",
            "client_secret",
            "--token",
            "DB_PASS",
            "spring.datasource.password",
            "authToken",
            "NPM_TOKEN_PROD",
            "accessToken",
        ] {
            assert!(name_kind(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "token_count",
            "max_tokens",
            "secretName",
            "public_key",
            "password_file",
            "token_url",
            "key",
            "primary_key",
            "tokenizer",
            "author",
            "cache_key",
            "passwordless",
            "pass",
            "sort_key",
            "foreign_key",
            "key_id",
            "tokens",
            "secrets",
            "password_hash",
            "authorization_endpoint",
        ] {
            assert!(name_kind(name.as_bytes()).is_none(), "{name}");
        }
    }
}
