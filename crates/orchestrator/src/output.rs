//! Standard output: results go there and nothing else. A reader that leaves early is no error of ours.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{self, Write};

/// Prints one line or several.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failure(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a document as JSON.
pub(crate) fn document(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::environment("the result could not be written as JSON").with("found", error))?;
    line(&text)
}

/// Prints a line for people beside the result.
pub(crate) fn note(text: &str) {
    // Nothing better can be done about a standard error that is gone.
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}

fn failure(error: &io::Error) -> Failure {
    Failure::environment("the result could not be printed").with("found", error)
}
