//! Places in a text that are to be masked, and the masking.

use std::{borrow::Cow, ops::Range};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// A place to be masked.
pub(crate) type Span = Range<usize>;

/// Sorted, without overlaps.
pub(crate) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// The text with the mask in place of each span. Spans are sorted and begin and end between characters.
pub(crate) fn masked<'a>(text: &'a str, spans: &[Span]) -> Cow<'a, str> {
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        masked.push_str(&text[at..span.start]);
        masked.push_str(MASK);
        at = span.end;
    }
    masked.push_str(&text[at..]);
    Cow::Owned(masked)
}
