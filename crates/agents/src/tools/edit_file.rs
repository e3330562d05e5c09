//! `edit_file`: replaces one exact piece of a file.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::Files;
use super::{Done, ToolBox, ToolFailure, arguments, blocking};

pub(super) const DESCRIPTION: &str = "Replaces one piece of a text file of the worktree. `old` must be in the file \
    exactly once, with the same white space and without the line numbers that read_file shows; take enough lines \
    around the place to make it unique.";

/// So many places are named when a piece is not unique.
const PLACES_NAMED: usize = 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The file, relative to the worktree.
    path: String,
    /// The text to replace, exactly as it is in the file.
    old: String,
    /// What shall stand there instead; empty to remove it.
    new: String,
}

pub(super) async fn run(tool_box: &ToolBox, arguments: &str) -> Result<Done, ToolFailure> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let files: Arc<Files> = Arc::clone(&tool_box.files);
    let policy = tool_box.settings.write_policy.clone();
    let limit_bytes = tool_box.settings.limits.file_bytes;
    blocking(move || {
        let content = files.locate(&arguments.path)?.read(limit_bytes)?;
        let edit = edit(&arguments, &content)?;
        files.write(&arguments.path, &edit.content, &policy)?;
        let lines = edit.new_lines;
        let now = match lines {
            0 => "removed".to_owned(),
            1 => "now 1 line".to_owned(),
            lines => format!("now {lines} lines"),
        };
        Ok(Done::text(format!(
            "Edited `{}` at line {}: {now}.",
            arguments.path, edit.line
        )))
    })
    .await
}

#[derive(Debug, PartialEq, Eq)]
struct Edit {
    content: Vec<u8>,
    /// Where the new piece begins, counted from 1.
    line: usize,
    new_lines: usize,
}

/// Works on bytes, so that a file in another encoding keeps all that is not replaced.
fn edit(arguments: &Arguments, content: &[u8]) -> Result<Edit, ToolFailure> {
    let Arguments { path, old, new } = arguments;
    let refuse = |text: String| Err(ToolFailure::new("bad_edit", text));
    if old.is_empty() {
        return refuse(format!(
            "`old` is empty. Give the text to replace in `{path}`, or use write_file for a new file."
        ));
    }
    if old == new {
        return refuse("`old` and `new` are the same: nothing would change.".to_owned());
    }
    // Models write line feeds; a file with carriage returns keeps them.
    let windows = uses_carriage_returns(content);
    let exact = places(content, old.as_bytes());
    let adapted = if exact.is_empty() && windows {
        with_carriage_returns(old)
    } else {
        Cow::Borrowed(old.as_str())
    };
    let found = if exact.is_empty() {
        places(content, adapted.as_bytes())
    } else {
        exact
    };
    let at = match found.as_slice() {
        [] => return refuse(not_found(path, old, content)),
        [at] => *at,
        several => return refuse(not_unique(path, several, content)),
    };
    let new = if windows {
        with_carriage_returns(new)
    } else {
        Cow::Borrowed(new.as_str())
    };
    let mut edited = content[..at].to_vec();
    edited.extend_from_slice(new.as_bytes());
    edited.extend_from_slice(&content[at + adapted.len()..]);
    Ok(Edit {
        line: line_at(content, at),
        new_lines: new.lines().count(),
        content: edited,
    })
}

/// Whether every line of the file ends with a carriage return and a line feed.
fn uses_carriage_returns(content: &[u8]) -> bool {
    let feeds = content.iter().filter(|byte| **byte == b'\n').count();
    feeds > 0 && content.windows(2).filter(|pair| pair == b"\r\n").count() == feeds
}

fn with_carriage_returns(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

/// Where the needle begins, overlaps included: each is a different reading of what is meant.
fn places(content: &[u8], needle: &[u8]) -> Vec<usize> {
    if needle.len() > content.len() {
        return Vec::new();
    }
    let first = needle[0];
    (0..=content.len() - needle.len())
        .filter(|at| content[*at] == first && content[*at..].starts_with(needle))
        .collect()
}

fn line_at(content: &[u8], at: usize) -> usize {
    1 + content[..at].iter().filter(|byte| **byte == b'\n').count()
}

fn not_unique(path: &str, places: &[usize], content: &[u8]) -> String {
    let lines: Vec<String> = places
        .iter()
        .take(PLACES_NAMED)
        .map(|at| line_at(content, *at).to_string())
        .collect();
    let more = if places.len() > PLACES_NAMED { ", …" } else { "" };
    format!(
        "`old` is in `{path}` {} times, at lines {}{more}. Add lines around the one you mean until it is unique.",
        places.len(),
        lines.join(", ")
    )
}

/// Says where the text is apart from white space, which is what models most often get wrong.
fn not_found(path: &str, old: &str, content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let wanted: Vec<&str> = old.trim().lines().map(str::trim).collect();
    let alike = (!wanted.is_empty())
        .then(|| lines.windows(wanted.len()).position(|window| window == wanted))
        .flatten();
    match alike {
        Some(at) => format!(
            "`old` is not in `{path}` exactly; lines {} to {} differ from it only in white space. Read them and copy \
             them as they are.",
            at + 1,
            at + wanted.len()
        ),
        None => format!("`old` is not in `{path}`. Read the file again: it may have changed, or the text differs."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(content: &str, old: &str, new: &str) -> Result<Edit, String> {
        let arguments = Arguments {
            path: "f".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        };
        edit(&arguments, content.as_bytes()).map_err(|failure| failure.text)
    }

    fn text(edit: Edit) -> String {
        String::from_utf8(edit.content).unwrap()
    }

    #[test]
    fn a_unique_piece_is_replaced() {
        let edit = edited("a\nb\nc\n", "b\n", "x\ny\n").unwrap();
        assert_eq!((edit.line, edit.new_lines), (2, 2));
        assert_eq!(text(edit), "a\nx\ny\nc\n");
    }

    #[test]
    fn a_piece_that_is_there_twice_names_its_lines() {
        let refusal = edited("x = 1\ny\nx = 1\n", "x = 1", "z").unwrap_err();
        assert!(refusal.contains("2 times, at lines 1, 3"), "{refusal}");
        assert!(edited("aaa", "aa", "b").unwrap_err().contains("2 times"));
    }

    #[test]
    fn a_missing_piece_is_found_apart_from_white_space() {
        let refusal = edited("fn a() {\n\tone();\n\ttwo();\n}\n", "    one();\n    two();\n", "x").unwrap_err();
        assert!(
            refusal.contains("lines 2 to 3 differ from it only in white space"),
            "{refusal}"
        );
        assert!(edited("a\n", "b", "c").unwrap_err().contains("is not in `f`"));
    }

    #[test]
    fn carriage_returns_are_kept() {
        assert_eq!(
            text(edited("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n").unwrap()),
            "x\r\ny\r\nz\r\nc\r\n"
        );
        assert_eq!(text(edited("a\r\nb\r\n", "b", "x\ny").unwrap()), "a\r\nx\r\ny\r\n");
        assert_eq!(text(edited("a\r\nb\nc\n", "b\n", "x\n").unwrap()), "a\r\nx\nc\n");
    }

    #[test]
    fn other_encodings_keep_what_is_not_replaced() {
        let arguments = Arguments {
            path: "f".to_owned(),
            old: "b".to_owned(),
            new: "x".to_owned(),
        };
        assert_eq!(edit(&arguments, b"\xe4 b \xff").unwrap().content, b"\xe4 x \xff");
    }

    #[test]
    fn an_edit_that_does_nothing_is_refused() {
        assert!(edited("a", "", "b").unwrap_err().contains("`old` is empty"));
        assert!(edited("a", "a", "a").unwrap_err().contains("the same"));
    }
}
