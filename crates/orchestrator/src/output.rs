//! Standard output, for results only. A reader that stops early is not an error.
//!
//! Commands show texts of models, programs, file names and repositories. Everything for a terminal passes [`shown`], here
//! and in [`crate::progress`]; nothing else writes to one. Output to a file or another program is unchanged.

use crate::failure::Failure;
use serde::Serialize;
use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

/// Prints one line or several.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let text = match io::stdout().is_terminal() {
        true => shown(text),
        false => Cow::Borrowed(text),
    };
    written(format!("{text}\n").as_bytes())
}

/// Prints bytes of a repository unchanged; for a terminal, control characters are escaped.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().is_terminal() {
        true => written(shown(&String::from_utf8_lossy(bytes)).as_bytes()),
        false => written(bytes),
    }
}

/// Prints a document as JSON.
pub(crate) fn document(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::environment("the result could not be written as JSON").caused_by(error))?;
    line(&text)
}

/// Prints a line on standard error.
pub(crate) fn note(text: &str) {
    let text = match io::stderr().is_terminal() {
        true => shown(text),
        false => Cow::Borrowed(text),
    };
    // A closed standard error can't be reported anywhere.
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

/// The text for a terminal: characters that control it or reorder text are escaped as in JSON, so that a document stays
/// valid.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // Part of a line end; alone it would overwrite the line.
            '\r' if letters.peek() == Some(&'\n') => {}
            letter if is_control(letter) => safe.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

/// Whether a character controls a terminal or reorders text.
pub(crate) fn is_control(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        // Direction marks reorder the text that follows.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        letter => letter.is_control(),
    }
}

fn written(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failure(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failure(error: io::Error) -> Failure {
    Failure::environment("the result could not be printed").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_for_a_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}b\u{1b}[2J\u{9b}31mc\u{7f}d\re\u{8}f\u{202e}g\u{2066}h\0\tkept\r\nkept\n";
        let safe = shown(hostile);
        assert!(!safe.contains(is_control), "{safe:?}");
        assert_eq!(
            safe,
            "a\\u001b]0;title\\u0007b\\u001b[2J\\u009b31mc\\u007fd\\u000de\\u0008f\\u202eg\\u2066h\\u0000\tkept\nkept\n"
        );
        assert_eq!(shown("plain ✓ ä 日本"), "plain ✓ ä 日本");
    }

    #[test]
    fn escaped_document_has_the_same_content() {
        let document = serde_json::json!({"text": "\u{1b}[31m\u{9b}\u{202e}\u{7f}"});
        let text = serde_json::to_string_pretty(&document).unwrap();
        let read: serde_json::Value = serde_json::from_str(&shown(&text)).unwrap();
        assert_eq!(read, document);
    }
}
