//! Finds armoured private keys: complete or truncated, over lines, escaped, quoted, in a diff or a listing.

use crate::{spans::Span, words};
use base64::Engine;

/// The longest first line.
const LONGEST_MARK: usize = 120;
/// The longest body: a key of 16,384 bits has 12,700 characters, plus escapes and margins.
pub(crate) const LONGEST_BODY: usize = 32 * 1024;
/// The longest line of a body, which may have no line ends.
const LONGEST_LINE: usize = LONGEST_BODY;
/// The longest text before each line, such as the file and line number of a search.
const LONGEST_PREFIX: usize = 300;
/// A line of base64 that is too long to be a word.
const SURE_LINE: usize = 24;

/// The body after the first line of a block, which starts here.
pub(crate) fn after_first_line(text: &[u8], start: usize) -> Option<Span> {
    let window = &text[start..text.len().min(start + LONGEST_MARK)];
    let first_line = if window.starts_with(b"Private-Lines: ") {
        window
            .iter()
            .position(|byte| !byte.is_ascii_graphic() && *byte != b' ' || *byte == b'\\')?
    } else {
        let line = &window[..window
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r' | b'\\' | b'"'))
            .unwrap_or(window.len())];
        let private = find(line, b"PRIVATE KEY")?;
        private + line[private..].iter().position(|byte| *byte == b'-')?
    };
    let mut from = start + first_line;
    while text.get(from) == Some(&b'-') || (text.get(from) == Some(&b' ') && text.get(from + 1) == Some(&b'-')) {
        from += 1;
    }
    Some(from..body_end(text, from, prefix_before(text, start)))
}

/// The body whose first line contains this position.
pub(crate) fn from_its_first_line(text: &[u8], start: usize) -> Option<Span> {
    let mut from = start;
    while from > 0 && start - from < 32 && is_base64(text[from - 1]) {
        from -= 1;
    }
    let end = body_end(text, from, prefix_before(text, from));
    (end - from >= 2 * SURE_LINE).then_some(from..end)
}

/// The body before the last line of a block, which starts here: the rest of a block without its start.
pub(crate) fn before_last_line(text: &[u8], start: usize) -> Option<Span> {
    let window = &text[start..text.len().min(start + LONGEST_MARK)];
    let line = &window[..window
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r' | b'\\' | b'"'))
        .unwrap_or(window.len())];
    find(line, b"PRIVATE KEY")?;
    let lowest = start.saturating_sub(LONGEST_BODY);
    let prefix = prefix_before(text, start);
    let mut from = start - prefix.len();
    // Backwards over lines of base64.
    loop {
        let mut line_end = from;
        while line_end > lowest && is_margin(text[line_end - 1]) {
            line_end -= 1;
        }
        line_end = without_escapes_before(text, lowest, line_end);
        let mut line_start = line_end;
        while line_start > lowest && is_base64(text[line_start - 1]) {
            line_start -= 1;
        }
        // The letter of an escape before a line is not part of it.
        if line_start > lowest && text[line_start - 1] == b'\\' && line_start < line_end {
            line_start += 1;
        }
        let line = &text[line_start..line_end];
        let last_line = from + prefix.len() == start;
        let belongs = line.len() >= SURE_LINE
            || (last_line && !line.is_empty() && !words::is_wordy(line))
            || line.starts_with(b"=");
        if !belongs || line_start >= from {
            break;
        }
        let own = prefix_before(text, line_start);
        let is_repeated = !own.is_empty() && repeated(own, prefix) == Some(own.len());
        from = line_start - if is_repeated { own.len() } else { 0 };
    }
    (from < start - prefix.len()).then(|| from..trimmed_end(text, from, start))
}

/// A whole key in base64, as in Kubernetes secrets.
pub(crate) fn in_base64(text: &[u8], start: usize) -> Option<Span> {
    let length = text[start..]
        .iter()
        .take(LONGEST_BODY * 2)
        .position(|byte| !is_base64(*byte));
    let end = start + length.unwrap_or_else(|| (text.len() - start).min(LONGEST_BODY * 2));
    let beginning = &text[start..end.min(start + 96)];
    let whole = &beginning[..beginning.len() / 4 * 4];
    let decoded = base64::engine::general_purpose::STANDARD.decode(whole).ok()?;
    find(&decoded, b"PRIVATE KEY").map(|_| start..end)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Whether it can surround the lines of a body: line ends, indents, quotes and joined strings, margins of listings, comments
/// and diffs.
fn is_margin(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"'`+|>#*,.;()-:".contains(&byte)
}

/// The text before this position on its line, if a listing may repeat it on every line: `settings:12:`.
fn prefix_before(text: &[u8], at: usize) -> &[u8] {
    let lowest = at.saturating_sub(LONGEST_PREFIX);
    let begins_line =
        |place: usize| text[place - 1] == b'\n' || (place > 1 && text[place - 1] == b'n' && text[place - 2] == b'\\');
    let start = (lowest + 1..=at).rev().find(|place| begins_line(*place));
    let Some(start) = start.or((lowest == 0).then_some(0)) else {
        return &[];
    };
    let prefix = &text[start..at];
    // Anything else may be part of the body.
    if !prefix.ends_with(b":") && !prefix.ends_with(b"-") {
        return &[];
    }
    let lead = prefix.iter().position(|byte| !is_margin(*byte)).unwrap_or(prefix.len());
    &prefix[lead..]
}

/// The length of the prefix if the line starts with it, possibly with another number or mark.
fn repeated(line: &[u8], prefix: &[u8]) -> Option<usize> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (mut at, mut seen) = (0, 0);
    while seen < prefix.len() {
        let (ours, theirs) = (digits(&prefix[seen..]), digits(line.get(at..)?));
        if ours > 0 && theirs > 0 {
            (seen, at) = (seen + ours, at + theirs);
            continue;
        }
        let (wanted, found) = (prefix[seen], *line.get(at)?);
        let is_mark = |byte| matches!(byte, b':' | b'-');
        if wanted != found && !(is_mark(wanted) && is_mark(found)) {
            return None;
        }
        (seen, at) = (seen + 1, at + 1);
    }
    (at > 0).then_some(at)
}

fn without_escapes_before(text: &[u8], lowest: usize, mut end: usize) -> usize {
    // `\n`, `\r`, `\\n`: the letter and its backslashes.
    while end >= lowest + 2 && matches!(text[end - 1], b'n' | b'r' | b't') && text[end - 2] == b'\\' {
        end -= 1;
        while end > lowest && text[end - 1] == b'\\' {
            end -= 1;
        }
    }
    end
}

/// The end of the body that starts here: before the last line of the block, or after the last line that may belong to it.
fn body_end(text: &[u8], from: usize, prefix: &[u8]) -> usize {
    let highest = text.len().min(from + LONGEST_BODY);
    let (mut at, mut end) = (from, from);
    let mut lines = 0;
    while at < highest {
        at = behind_margin(text, at, highest);
        if let Some(length) = repeated(&text[at..highest], prefix) {
            at = behind_margin(text, at + length, highest);
        }
        if text[at..highest].starts_with(b"END") || at >= highest {
            break;
        }
        let line_end = at
            + text[at..highest]
                .iter()
                .take(LONGEST_LINE)
                .position(|byte| !is_base64(*byte))
                .unwrap_or(highest - at);
        let line = &text[at..line_end];
        let at_end = line_end >= highest;
        let next = text.get(line_end).copied().unwrap_or(b'\n');
        if next == b':' && line_end > at && line.len() < SURE_LINE && text.get(line_end + 1) == Some(&b' ') {
            // A header, such as `Proc-Type: 4,ENCRYPTED` or `Version: 1`; or the number of a line in a listing.
            at = header_end(text, line_end, highest);
            continue;
        }
        if line.is_empty() {
            // `Proc-Type` has a dash in its name.
            match header(text, at, highest) {
                Some(behind) => at = behind,
                None => break,
            }
            continue;
        }
        let is_number = line.iter().all(u8::is_ascii_digit) && line.len() <= 6;
        if is_number && !at_end {
            at = line_end;
            continue;
        }
        let ends_line = matches!(
            next,
            b'\n' | b'\r' | b'\\' | b'"' | b'\'' | b'`' | b'-' | b' ' | b',' | b'<'
        );
        let short = line.len() < SURE_LINE;
        if !ends_line || (short && words::is_wordy(line) && !(at_end && lines > 0)) {
            match header(text, at, highest) {
                Some(behind) => at = behind,
                None => break,
            }
            continue;
        }
        lines += 1;
        at = line_end;
        end = line_end;
        // Only the last line is short, and the checksum of PGP after it.
        let checksum = text[behind_margin(text, at, highest)..highest].starts_with(b"=");
        if short && lines > 1 && !checksum {
            break;
        }
    }
    end
}

fn behind_margin(text: &[u8], mut at: usize, highest: usize) -> usize {
    while at < highest {
        if text[at] == b'\\' {
            let letter = at
                + text[at..highest]
                    .iter()
                    .position(|byte| *byte != b'\\')
                    .unwrap_or(highest - at);
            match text.get(letter) {
                Some(b'n' | b'r' | b't') => at = letter + 1,
                Some(b'\n' | b'\r' | b'"' | b'\'') => at = letter,
                _ => return at,
            }
        } else if text[at..].starts_with(b"-----END") {
            return at + 5;
        } else if is_margin(text[at]) && text[at] != b'=' {
            at += 1;
        } else {
            return at;
        }
    }
    at
}

/// The end of the header that starts here, if there is one.
fn header(text: &[u8], at: usize, highest: usize) -> Option<usize> {
    let name = text[at..highest]
        .iter()
        .take(40)
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-'))?;
    (name > 0 && text[at + name..].starts_with(b": ")).then(|| header_end(text, at + name, highest))
}

fn header_end(text: &[u8], at: usize, highest: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\\' | b'"');
    at + text[at..highest].iter().position(ends).unwrap_or(highest - at)
}

fn trimmed_end(text: &[u8], from: usize, mut end: usize) -> usize {
    while end > from && !is_base64(text[end - 1]) {
        end -= 1;
    }
    without_escapes_before(text, from, end)
}

/// Adds the spans of a body to mask: all of it, or its lines if source code is between them.
pub(crate) fn parts(text: &[u8], body: Span, spans: &mut Vec<Span>) {
    let bytes = &text[body.clone()];
    if !bytes.iter().any(|byte| b"\"'`\\".contains(byte)) {
        let lead = bytes
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .unwrap_or(bytes.len());
        spans.push(body.start + lead..body.end);
        return;
    }
    let mut at = body.start;
    while at < body.end {
        at = behind_margin(text, at, body.end);
        let end = at
            + text[at..body.end]
                .iter()
                .position(|byte| !is_base64(*byte))
                .unwrap_or(body.end - at);
        // Names of headers stay readable.
        if end > at && text.get(end) != Some(&b':') {
            spans.push(at..end);
        }
        at = end.max(at + 1);
    }
}

#[cfg(test)]
mod tests {
    const BODY: &str = "MIIEpAIBAAKCAQEAq7Rk2ZxW9mTb4LvN8sYc1HdF6gJp3UeA5oXi0BnMq7Rk2ZxW\n\
                        Zx9Kq2Lm7Rt4Vb8Nc3Wd6Hf1Jg5Pk0Qs2Tu4Vx8mQ2zLk9Yb3Nc7Md1Fg5HjWq8b\n\
                        Yb3Nc7Md1Fg5Hj==";

    fn masked(before_line: impl Fn(usize) -> String, lines: &[&str]) -> String {
        let text: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(number, line)| format!("{}{line}", before_line(number)))
            .collect();
        crate::redact(&text.join("\n"))
    }

    #[test]
    fn key_in_listing_is_masked_line_by_line() {
        let begin = "-----BEGIN RSA PRIVATE KEY-----";
        let end = "-----END RSA PRIVATE KEY-----";
        let whole: Vec<&str> = std::iter::once(begin).chain(BODY.lines()).chain([end]).collect();
        let listings: [fn(usize) -> String; 5] = [
            |number| format!("settings:{}:", number + 9),
            |number| format!("src/a file.rs{}{0}-", if number == 0 { ":" } else { "-" }).replace("::", ":1:"),
            |number| format!("{}:", number + 98),
            |number| format!("certs/key-2.pem-{}-", number + 7),
            |_| "deploy/id_rsa:".to_owned(),
        ];
        for listing in listings {
            for lines in [&whole[..], &whole[..3], &whole[2..]] {
                let text = masked(listing, lines);
                for line in BODY.lines() {
                    assert!(!text.contains(&line[..line.len().min(24)]), "{text}");
                }
            }
        }
    }

    #[test]
    fn body_on_the_end_line_is_masked() {
        let body = BODY.replace('\n', "");
        for glue in ["", " "] {
            let text = crate::redact(&format!("{body}{glue}-----END PRIVATE KEY-----"));
            assert!(!text.contains(&body[..30]), "{text}");
        }
    }
}
