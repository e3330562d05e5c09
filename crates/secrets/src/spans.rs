//! Spans of a text that are masked.

use std::{borrow::Cow, ops::Range};

/// The text that replaces a secret.
pub const MASK: &str = "[redacted]";

/// How often a masked text is searched again. One pass suffices for all but constructed texts.
const MAX_PASSES: usize = 16;

/// A range to mask.
pub(crate) type Span = Range<usize>;

/// Sorts the spans and merges those that touch or overlap.
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

/// The spans that `find` finds, and those that it finds in the masked text: a mask ends a word, a value or a line, which can
/// reveal a secret beside it. So masking the masked text changes nothing.
pub(crate) fn settled(text: &[u8], find: impl Fn(&[u8]) -> Vec<Span>) -> Vec<Span> {
    let mut spans = merged(outside_masks(text, find(text)));
    for _ in 0..MAX_PASSES {
        if spans.is_empty() {
            break;
        }
        let masked = masked_bytes(text, &spans);
        let revealed = outside_masks(&masked, find(&masked));
        if revealed.is_empty() {
            break;
        }
        let revealed = unmasked(revealed, &spans);
        spans.extend(revealed);
        spans = merged(spans);
    }
    spans
}

/// Drops spans within an existing mask, and extends those that cut through one.
fn outside_masks(text: &[u8], spans: Vec<Span>) -> Vec<Span> {
    if spans.is_empty() {
        return spans;
    }
    let masks: Vec<usize> = memchr::memmem::find_iter(text, MASK).collect();
    let mask_around = |at: usize| {
        let before = masks.partition_point(|start| *start < at).checked_sub(1)?;
        let mask = masks[before]..masks[before] + MASK.len();
        (at < mask.end).then_some(mask)
    };
    let extended = spans.into_iter().map(|span| {
        let start = mask_around(span.start).map_or(span.start, |mask| mask.start);
        let end = mask_around(span.end).map_or(span.end, |mask| mask.end);
        start..end
    });
    let is_mask = |span: &Span| span.len() == MASK.len() && text[span.clone()] == *MASK.as_bytes();
    extended.filter(|span| !span.is_empty() && !is_mask(span)).collect()
}

/// Maps spans of the masked text, which cut through no mask, to the text.
fn unmasked(found: Vec<Span>, spans: &[Span]) -> Vec<Span> {
    // Where each mask ends in the masked text, and its span in the text.
    let (mut text_at, mut masked_at) = (0, 0);
    let ends: Vec<(usize, usize)> = spans
        .iter()
        .map(|span| {
            masked_at += span.start - text_at + MASK.len();
            text_at = span.end;
            (masked_at, text_at)
        })
        .collect();
    let in_text = |at: usize| {
        let behind = ends.partition_point(|(mask_end, _)| *mask_end <= at);
        let (mask_end, span_end) = behind.checked_sub(1).map_or((0, 0), |last| ends[last]);
        span_end + (at - mask_end)
    };
    found
        .iter()
        .map(|span| in_text(span.start)..in_text(span.end))
        .collect()
}

fn masked_bytes(text: &[u8], spans: &[Span]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        masked.extend_from_slice(&text[at..span.start]);
        masked.extend_from_slice(MASK.as_bytes());
        at = span.end;
    }
    masked.extend_from_slice(&text[at..]);
    masked
}

/// The text with each span replaced by the mask. Spans are sorted and end between characters.
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
