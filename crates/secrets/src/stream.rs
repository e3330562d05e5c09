//! Masks what is written piece by piece, wherever the pieces are cut: what is held back is longer than any secret.

use crate::{MASK, key_block, places, spans::merged};

/// What has come is looked at when so much of it waits.
const BLOCK: usize = 256 * 1024;
/// So much is held back, for a secret that goes on in what comes next.
const HELD_BACK: usize = key_block::LONGEST_BODY + 16 * 1024;
/// So much of what was written is still looked at, for what stands before a secret.
const CONTEXT: usize = 4 * 1024;

/// Masks a stream of bytes. What is not text passes as it is.
#[derive(Debug, Default)]
pub struct Masker {
    /// What was written last, and what waits.
    buffer: Vec<u8>,
    /// How much of it has been written.
    written: usize,
    /// Up to where it was masked as part of a secret that goes on beyond what was written.
    masked_until: usize,
}

impl Masker {
    /// Takes a piece, and returns what can be written by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() - self.written < BLOCK + HELD_BACK {
            return Vec::new();
        }
        self.release(self.buffer.len() - HELD_BACK)
    }

    /// Returns the rest.
    pub fn finish(mut self) -> Vec<u8> {
        self.release(self.buffer.len())
    }

    /// Masks and returns what waits, up to about this place.
    fn release(&mut self, until: usize) -> Vec<u8> {
        let mut spans = places(&self.buffer);
        if self.masked_until > self.written {
            spans.push(self.written..self.masked_until);
        }
        let spans = merged(spans);
        let at_end = until == self.buffer.len();
        let until = if at_end { until } else { self.between_lines(until) };

        let mut out = Vec::with_capacity(until - self.written + 64);
        let mut at = self.written;
        for span in &spans {
            if span.end <= at || span.start >= until {
                continue;
            }
            out.extend_from_slice(&self.buffer[at..span.start.max(at)]);
            // The mask of what began in an earlier piece stands there already.
            if span.start >= at && !(span.start == self.written && self.masked_until > self.written) {
                out.extend_from_slice(MASK.as_bytes());
            }
            at = span.end.min(until).max(at);
        }
        out.extend_from_slice(&self.buffer[at..until]);

        let over = spans
            .iter()
            .find(|span| span.start < until && span.end > until)
            .map_or(0, |span| span.end);
        let forgotten = until.saturating_sub(CONTEXT);
        self.buffer.drain(..forgotten);
        self.written = until - forgotten;
        self.masked_until = over.saturating_sub(forgotten);
        out
    }

    /// Behind the last line end before this place, so that a line is looked at as a whole.
    fn between_lines(&self, until: usize) -> usize {
        let from = self.written;
        self.buffer[from..until]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(until, |at| from + at + 1)
    }
}
