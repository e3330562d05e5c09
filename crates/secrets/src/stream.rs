//! Masks a stream, whatever its chunk boundaries: it holds back more than the longest secret.

use crate::{MASK, key_block, places, spans::merged};

/// How much waiting data triggers a search.
const BLOCK: usize = 256 * 1024;
/// How much data is held back, for a secret that continues in the next chunk.
const HELD_BACK: usize = key_block::LONGEST_BODY + 16 * 1024;
/// How much written data stays in the search, for the context before a secret.
const CONTEXT: usize = 4 * 1024;

/// Masks a stream of bytes. Data that is not text passes unchanged.
#[derive(Debug, Default)]
pub struct Masker {
    /// The last written data, then the waiting data.
    buffer: Vec<u8>,
    /// How much of the buffer was written.
    written: usize,
    /// The end of a secret that started in written data.
    masked_until: usize,
}

impl Masker {
    /// Takes a chunk, and returns the data that can be written.
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

    /// Masks and returns waiting data up to about this position.
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
            // A secret that started earlier has its mask already.
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

    /// The position after the last line end before this one, so that lines are searched whole.
    fn between_lines(&self, until: usize) -> usize {
        let from = self.written;
        self.buffer[from..until]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(until, |at| from + at + 1)
    }
}
