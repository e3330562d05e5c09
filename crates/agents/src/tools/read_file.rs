//! `read_file`: a window of a file, with line numbers.

use std::fmt::Write as _;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::Files;
use super::{Done, ToolFailure, ToolLimits, arguments, blocking};

pub(super) const DESCRIPTION: &str = "Reads a text file of the worktree, or a window of it, with line numbers in \
    front of the lines (they are not part of the file). Long files are shown in pieces; the last line says how to go on.";

/// A longer line is cut when shown.
const LINE_BYTES: usize = 2_000;

/// Files with a NUL byte this early are not shown.
const BINARY_PROBE_BYTES: usize = 8_192;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the worktree.
    path: String,
    /// The first line to show, counted from 1.
    #[serde(default)]
    offset: Option<usize>,
    /// How many lines to show at most.
    #[serde(default)]
    limit: Option<usize>,
}

pub(super) async fn run(files: Arc<Files>, limits: &ToolLimits, arguments: &str) -> Result<Done, ToolFailure> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let limits = *limits;
    blocking(move || {
        let content = files.locate(&arguments.path)?.read(limits.file_bytes)?;
        window(&arguments, &content, limits.read_bytes).map(Done::text)
    })
    .await
}

fn window(arguments: &Arguments, content: &[u8], limit_bytes: usize) -> Result<String, ToolFailure> {
    let path = &arguments.path;
    if content[..content.len().min(BINARY_PROBE_BYTES)].contains(&0) {
        let text = format!(
            "`{path}` is a binary file of {} bytes. Use `shell`, for example with file or xxd.",
            content.len()
        );
        return Err(ToolFailure::new("binary", text));
    }
    if content.is_empty() {
        return Ok("[the file is empty]".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    let total = text.lines().count();
    let first = arguments.offset.unwrap_or(1).max(1);
    if first > total {
        let text = format!("`{path}` has only {total} lines; line {first} does not exist.");
        return Err(ToolFailure::new("bad_arguments", text));
    }
    let wanted = arguments.limit.unwrap_or(usize::MAX).max(1);
    let mut shown = String::new();
    let mut last = first - 1;
    for line in text.lines().skip(first - 1).take(wanted) {
        let line = numbered(last + 1, line);
        if shown.len() + line.len() > limit_bytes && !shown.is_empty() {
            break;
        }
        shown.push_str(&line);
        last += 1;
    }
    if last < total {
        write!(
            shown,
            "[lines {first} to {last} of {total}; go on with offset {}]",
            last + 1
        )
        .unwrap_or_default();
    } else if first > 1 {
        write!(shown, "[lines {first} to {last} of {total}, the end]").unwrap_or_default();
    }
    Ok(shown)
}

/// One line as it is shown.
pub(super) fn numbered(number: usize, line: &str) -> String {
    let shown = prefix(line, LINE_BYTES);
    let rest = line.len() - shown.len();
    // Databases and terminals take no NUL.
    let shown = shown.replace('\0', "\u{fffd}");
    if rest > 0 {
        format!("{number:>6}\t{shown} [… {rest} more bytes]\n")
    } else {
        format!("{number:>6}\t{shown}\n")
    }
}

/// At most this many bytes of a text, ending with a whole character.
pub(super) fn prefix(text: &str, limit_bytes: usize) -> &str {
    let mut end = limit_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content: &str, offset: Option<usize>, limit: Option<usize>, limit_bytes: usize) -> String {
        let arguments = Arguments {
            path: "f".to_owned(),
            offset,
            limit,
        };
        window(&arguments, content.as_bytes(), limit_bytes).unwrap_or_else(|failure| failure.text)
    }

    #[test]
    fn a_whole_file_is_shown_without_a_remark() {
        assert_eq!(shown("a\r\nb\n", None, None, 1000), "     1\ta\n     2\tb\n");
    }

    #[test]
    fn a_window_says_how_to_go_on() {
        let text = shown("a\nb\nc\nd\n", Some(2), Some(2), 1000);
        assert_eq!(text, "     2\tb\n     3\tc\n[lines 2 to 3 of 4; go on with offset 4]");
        assert_eq!(
            shown("a\nb\n", Some(2), None, 1000),
            "     2\tb\n[lines 2 to 2 of 2, the end]"
        );
    }

    #[test]
    fn a_long_file_is_cut_by_size_but_never_to_nothing() {
        let text = shown("aaaa\nbbbb\ncccc\n", None, None, 25);
        assert_eq!(
            text,
            "     1\taaaa\n     2\tbbbb\n[lines 1 to 2 of 3; go on with offset 3]"
        );
        assert!(shown("aaaa\nbbbb\n", None, None, 1).starts_with("     1\taaaa\n[lines 1 to 1 of 2"));
    }

    #[test]
    fn a_long_line_is_cut_at_a_whole_character() {
        let text = shown(&"ä".repeat(1_500), None, None, 10_000);
        assert!(
            text.contains(&format!("{} [… 1000 more bytes]", "ä".repeat(1_000))),
            "{}",
            text.len()
        );
    }

    #[test]
    fn odd_files_are_described() {
        assert_eq!(shown("", None, None, 10), "[the file is empty]");
        assert!(shown("\0\u{1}", None, None, 10).contains("binary file of 2 bytes"));
        assert!(shown("a\n", Some(5), None, 10).contains("only 1 lines"));
    }
}
