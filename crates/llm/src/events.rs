//! The events of a stream, cut out of its pieces in linear time and with a bound.
//!
//! The client library looks through everything that waits for an end of line with each piece that comes, and copies
//! what is left with each line it takes. So it is handed whole events, one at a time, each on one line.

use crate::failure::{Failure, FailureKind};
use bytes::{BufMut, Bytes, BytesMut};

/// Named in errors, as the configuration names it.
pub(crate) const LINE_LIMIT: &str = "calls.line_bytes";

/// A line under way and an event under way.
#[derive(Debug)]
pub(crate) struct Events {
    limit_bytes: usize,
    line: Vec<u8>,
    data: BytesMut,
    has_data: bool,
    /// `event: keepalive` and the like carry nothing.
    kind: Vec<u8>,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    returned: bool,
    at_start: bool,
}

impl Events {
    /// No line and no event is longer.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            line: Vec::new(),
            data: BytesMut::new(),
            has_data: false,
            kind: Vec::new(),
            returned: false,
            at_start: true,
        }
    }

    /// The events that a piece completes, each as `data: …` and an empty line.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Bytes>, Failure> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let ends_with_feed = rest[at] == b'\n';
            let of_the_last_end = ends_with_feed && at == 0 && self.returned;
            self.returned = !ends_with_feed;
            if !of_the_last_end {
                self.extend_line(&rest[..at])?;
                events.extend(self.end_line()?);
            }
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            self.returned = false;
            self.extend_line(rest)?;
        }
        Ok(events)
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.check(self.line.len() + bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.limit_bytes {
            return Ok(());
        }
        let detail = format!(
            "a line or an event of it is longer than {LINE_LIMIT} = {}",
            self.limit_bytes
        );
        Err(Failure::accepted(FailureKind::TooLong(detail)))
    }

    /// Takes the line that has ended; an empty one ends the event.
    fn end_line(&mut self) -> Result<Option<Bytes>, Failure> {
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        }
        if text.is_empty() {
            let data = std::mem::take(&mut self.data);
            let kind = std::mem::take(&mut self.kind);
            let carries = std::mem::take(&mut self.has_data) && kind != b"keepalive";
            return Ok(carries.then(|| whole(&data)));
        }
        let (field, value) = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.check(self.data.len() + value.len() + 1)?;
                // A line end within JSON is a blank like any other.
                if self.has_data {
                    self.data.put_u8(b' ');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.kind = value.to_vec(),
            // Comments, identities, times to wait: nothing that an answer is made of.
            _ => {}
        }
        // The line's room is used again.
        self.line = line;
        self.line.clear();
        Ok(None)
    }
}

fn whole(data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = Events::new(1_000);
        let events = pieces.iter().flat_map(|piece| reader.push(piece).unwrap());
        events.map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
    }

    #[test]
    fn events_are_cut_out_however_lines_end_and_comments_go() {
        let expected = ["data: {\"a\":1}\n\n", "data: {\"b\": 2}\n\n", "data: [DONE]\n\n"];
        for end in ["\n", "\r\n", "\r"] {
            let text = [
                "\u{feff}: hello",
                "",
                "event: x",
                "id: 7",
                "data: {\"a\":1}",
                "",
                ":keep",
                "retry: 5",
                "data:{\"b\":",
                "data: 2}",
                "",
                "event: keepalive",
                "data: {}",
                "",
                "data: [DONE]",
                "",
                "data: never ended",
            ]
            .join(end);
            assert_eq!(events(&[text.as_bytes()]), expected, "{end:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(events(&bytes), expected, "{end:?}");
        }
    }

    #[test]
    fn a_line_and_an_event_have_a_bound_that_is_named() {
        let long = [b'x'; 1_001];
        let mut reader = Events::new(1_000);
        let failure = reader.push(&long).unwrap_err();
        assert!(matches!(&failure.kind, FailureKind::TooLong(text) if text.contains("calls.line_bytes = 1000")));
        let mut reader = Events::new(1_000);
        let refused = (0..500).any(|_| reader.push(b"data: xx\n").is_err());
        assert!(refused);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(text in "[a\\r\\n :{}dt]{0,60}", cut in 0usize..60) {
            let text = format!("data: {text}\n\n");
            let cut = cut.min(text.len());
            prop_assert_eq!(events(&[text.as_bytes()]), events(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]));
        }
    }
}
