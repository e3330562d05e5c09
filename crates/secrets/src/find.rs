//! Finds everything in a text that looks like a secret: one pass for keywords, then a check of each hit.

use crate::{
    address, assignment, key_block,
    rules::{Meaning, Rules, rules},
    spans::Span,
    words,
};

/// How far from an AWS key id its secret is searched.
const AWS_NEIGHBOURHOOD: usize = 400;
const AWS_SECRET: usize = 40;

/// Adds the spans that look like secrets.
pub(crate) fn find(text: &[u8], spans: &mut Vec<Span>) {
    let Some(rules) = rules() else { return };
    // Each line of a key may be a hit; hits within a masked key are skipped.
    let mut looked_until = 0;
    for hit in rules.finder.find_overlapping_iter(text) {
        let (meaning, exact) = &rules.meanings[hit.pattern().as_usize()];
        if exact
            .as_ref()
            .is_some_and(|exact| **exact != text[hit.start()..hit.end()])
        {
            continue;
        }
        if matches!(meaning, Meaning::KeyBegins | Meaning::KeyBody) && hit.start() < looked_until {
            continue;
        }
        if let Some(end) = look(rules, *meaning, text, hit.start(), hit.end(), spans) {
            looked_until = end;
        }
    }
}

/// Checks one hit. Returns the end of a key's body, if it found one.
fn look(
    rules: &Rules,
    meaning: Meaning,
    text: &[u8],
    start: usize,
    end: usize,
    spans: &mut Vec<Span>,
) -> Option<usize> {
    match meaning {
        Meaning::Token(place) => {
            let (first, masked, token_end) = token(rules, place, text, start..end, spans)?;
            spans.push(masked..token_end);
            if rules.tokens[place].id == "aws-key-id" {
                aws_secrets(text, first, token_end, spans);
            }
            None
        }
        Meaning::Named(place) => {
            let assignment = assignment::around(text, start, end)?;
            let secret = rules.named[place].holds(&text[assignment.value.clone()]);
            spans.extend(secret.then_some(assignment.value));
            None
        }
        Meaning::SecretName => {
            let assignment = assignment::around(text, start, end)?;
            spans.extend(assignment::secret(text, &assignment));
            None
        }
        Meaning::Scheme => {
            spans.extend(address::behind_scheme(text, start, end));
            None
        }
        Meaning::UserOption => {
            spans.extend(address::behind_user_option(text, start, end));
            None
        }
        Meaning::Address => {
            address::in_address(text, end, spans);
            None
        }
        Meaning::KeyBegins => body(text, key_block::after_first_line(text, start)?, spans),
        Meaning::KeyBody => body(text, key_block::from_its_first_line(text, start)?, spans),
        Meaning::KeyEnds => {
            body(text, key_block::before_last_line(text, start)?, spans);
            None
        }
        Meaning::KeyInBase64 => {
            spans.extend(key_block::in_base64(text, start));
            None
        }
    }
}

fn token(rules: &Rules, place: usize, text: &[u8], prefix: Span, found: &[Span]) -> Option<(usize, usize, usize)> {
    let (masked, token_end) = rules.tokens[place].find(text, prefix.start, prefix.end, found)?;
    Some((prefix.start.min(masked), masked, token_end))
}

fn body(text: &[u8], body: Span, spans: &mut Vec<Span>) -> Option<usize> {
    let end = body.end;
    key_block::parts(text, body, spans);
    Some(end)
}

/// Finds AWS secrets near their key id, where they have neither prefix nor name.
fn aws_secrets(text: &[u8], start: usize, end: usize, spans: &mut Vec<Span>) {
    let from = start.saturating_sub(AWS_NEIGHBOURHOOD);
    let to = text.len().min(end + AWS_NEIGHBOURHOOD);
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut at = from;
    while at < to {
        let length = text[at..to].iter().position(|byte| !belongs(*byte)).unwrap_or(to - at);
        let candidate = &text[at..at + length];
        // In a nested text, the letter of an escape precedes it.
        let escaped = at > 0 && text[at - 1] == b'\\' && length == AWS_SECRET + 1;
        let candidate = if escaped { &candidate[1..] } else { candidate };
        if candidate.len() == AWS_SECRET && is_aws_secret(candidate) {
            spans.push(at + length - AWS_SECRET..at + length);
        }
        at += length + 1;
    }
}

fn is_aws_secret(candidate: &[u8]) -> bool {
    let has = |kind: fn(&u8) -> bool| candidate.iter().any(kind);
    has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && words::entropy(candidate) >= 3.5
        && !words::is_hexadecimal(candidate)
}
