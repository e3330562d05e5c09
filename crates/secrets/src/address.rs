//! Finds secrets in addresses, authentication headers and command options.

use crate::{spans::Span, value, words};
use base64::Engine;

const LONGEST_AUTHORITY: usize = 1024;
const LONGEST_CREDENTIAL: usize = 8192;
const SHORTEST_CREDENTIAL: usize = 8;
/// A credential of this length is certainly random.
const SURELY_RANDOM: usize = 32;
const SHORTEST_USER_TOKEN: usize = 12;
/// Placeholders from documentation.
const PLACEHOLDERS: [&str; 9] = [
    "password", "passwd", "pass", "pwd", "pw", "secret", "token", "user", "xxx",
];

/// Finds the credentials before the `@` of an address, whose `://` ends here.
pub(crate) fn in_address(text: &[u8], end: usize, spans: &mut Vec<Span>) {
    let window = &text[end..text.len().min(end + LONGEST_AUTHORITY)];
    let ends = |byte: &u8| !byte.is_ascii_graphic() || b"/?\"'`<>\\{}|^".contains(byte);
    let authority = &window[..window.iter().position(ends).unwrap_or(window.len())];
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return;
    };
    let user_info = &authority[..at];
    let colon = user_info.iter().position(|byte| *byte == b':');
    let user = &user_info[..colon.unwrap_or(at)];
    if let Some(colon) = colon {
        let password = &user_info[colon + 1..];
        if is_literal(password) {
            spans.push(end + colon + 1..end + at);
        }
    }
    let alone = colon.is_none();
    let shortest = if alone { SHORTEST_USER_TOKEN } else { SURELY_RANDOM / 2 };
    let long_or_digits = user.len() >= 20 || user.iter().any(u8::is_ascii_digit);
    if user.len() >= shortest && long_or_digits && is_literal(user) && !words::is_wordy(user) {
        spans.push(end..end + user.len());
    }
}

fn is_literal(credential: &[u8]) -> bool {
    let placeholder = PLACEHOLDERS
        .iter()
        .any(|word| credential.eq_ignore_ascii_case(word.as_bytes()));
    let reference = credential
        .first()
        .is_none_or(|first| b"$<{%*[(".contains(first) && *first != b'%')
        || credential.starts_with(b"%s")
        || credential.starts_with(b"...");
    !placeholder && !reference
}

/// The credential after an authentication scheme such as `Bearer`.
pub(crate) fn behind_scheme(text: &[u8], start: usize, end: usize) -> Option<Span> {
    if start > 0 && (text[start - 1].is_ascii_alphanumeric() || text[start - 1] == b'_') {
        return None;
    }
    let mut from = end;
    while text.get(from).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'+')) && from - end < 8 {
        from += 1;
    }
    if text[end..].starts_with(b"%20") {
        from = end + 3;
    }
    if from == end {
        return None;
    }
    let window = &text[from..text.len().min(from + LONGEST_CREDENTIAL)];
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(byte);
    let mut length = window.iter().position(|byte| !belongs(byte)).unwrap_or(window.len());
    while length > 0 && window[length - 1] == b'.' {
        length -= 1;
    }
    let credential = &window[..length];
    if credential.len() < SHORTEST_CREDENTIAL || words::is_monotonous(credential) {
        return None;
    }
    let random = credential.iter().any(u8::is_ascii_digit) || credential.len() >= SURELY_RANDOM;
    let random = random && !words::is_wordy(credential);
    (random || holds_a_pair(credential)).then(|| from..from + length)
}

/// Whether it is a user name and password in base64.
fn holds_a_pair(credential: &[u8]) -> bool {
    let unpadded: Vec<u8> = credential.iter().copied().filter(|byte| *byte != b'=').collect();
    base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(unpadded)
        .is_ok_and(|decoded| {
            decoded.contains(&b':') && decoded.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        })
}

/// The password of `-u name:password`.
pub(crate) fn behind_user_option(text: &[u8], start: usize, end: usize) -> Option<Span> {
    if start == 0 || !matches!(text[start - 1], b' ' | b'\t' | b'"' | b'\'' | b'\n') {
        return None;
    }
    let mut from = end;
    while text
        .get(from)
        .is_some_and(|byte| matches!(byte, b' ' | b'=' | b'"' | b'\''))
        && from - end < 4
    {
        from += 1;
    }
    let window = &text[from..text.len().min(from + 512)];
    let ends = |byte: &u8| !byte.is_ascii_graphic() || b"\"'`\\<>".contains(byte);
    let pair = &window[..window.iter().position(ends).unwrap_or(window.len())];
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let password = &pair[colon + 1..];
    let secret = password.len() >= 6 && is_literal(password) && !password.contains(&b'/');
    (secret && (value::is_random(password) || !words::is_wordy(password))).then(|| from + colon + 1..from + pair.len())
}
