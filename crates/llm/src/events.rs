//! Splits a stream into events, in linear time and with a size limit.
//!
//! The client library scans its whole buffer for each chunk and copies the rest for each line. So it gets complete events,
//! one at a time, each on one line.

use crate::failure::{Failure, FailureKind};
use bytes::{BufMut, Bytes, BytesMut};

/// The setting of the limit, for error texts.
pub(crate) const LINE_LIMIT: &str = "calls.line_bytes";

/// Reads server-sent events chunk by chunk.
#[derive(Debug)]
pub(crate) struct Events {
    limit_bytes: usize,
    line: Vec<u8>,
    data: BytesMut,
    has_data: bool,
    /// The event's type; events such as `keepalive` carry no data.
    kind: Vec<u8>,
    /// Whether the last byte was a carriage return, to which a following line feed belongs.
    returned: bool,
    at_start: bool,
}

impl Events {
    /// A reader with this limit for lines and events.
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

    /// The events that a chunk completes, each as `data: …` and an empty line.
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

    /// Handles a complete line; an empty one ends the event.
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
                // A line end within JSON is white space.
                if self.has_data {
                    self.data.put_u8(b' ');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.kind = value.to_vec(),
            // Comments, ids and retry times are not part of an answer.
            _ => {}
        }
        // Reuse the line's buffer.
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
    fn events_are_split_at_every_line_ending() {
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
    fn line_and_event_limits_name_their_setting() {
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
        fn chunk_boundaries_do_not_matter(text in "[a\\r\\n :{}dt]{0,60}", cut in 0usize..60) {
            let text = format!("data: {text}\n\n");
            let cut = cut.min(text.len());
            prop_assert_eq!(events(&[text.as_bytes()]), events(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]));
        }
    }
}
