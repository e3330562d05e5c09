//! `list_dir`: the entries of a directory.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir};
use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{FileError, Files, Kind, is_git_name};
use super::{Done, ToolFailure, ToolLimits, arguments, blocking};

pub(super) const DESCRIPTION: &str = "Lists one directory of the worktree: directories end with /, files show their size \
    in bytes, symbolic links show where they lead.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The directory, relative to the worktree; `.` is the worktree itself.
    path: String,
}

pub(super) async fn run(files: Arc<Files>, limits: &ToolLimits, arguments: &str) -> Result<Done, ToolFailure> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let limits = *limits;
    blocking(move || {
        let place = files.locate(&arguments.path)?;
        let (directory, _) = place.tree.open_directory(&place.relative, &place.given)?;
        let entries = entries(&directory).map_err(|source| FileError::System {
            doing: "read",
            path: place.given.clone(),
            source: source.into(),
        })?;
        Ok(Done::text(listing(&entries, &limits)))
    })
    .await
}

/// One line per entry, sorted by name.
fn entries(directory: &OwnedFd) -> Result<Vec<String>, rustix::io::Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..")
            || is_git_name(std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes()))
        {
            continue;
        }
        let shown = plain(&name.to_string_lossy());
        // Entries that vanish meanwhile are skipped.
        let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        entries.push(match Kind::of(&stat) {
            Kind::Directory => format!("{shown}/"),
            Kind::File => format!("{shown}  {} bytes", stat.st_size),
            Kind::Special => format!("{shown}  (pipe, socket or device)"),
            Kind::Link => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                format!("{shown} -> {}", plain(&target.to_string_lossy()))
            }
        });
    }
    entries.sort();
    Ok(entries)
}

/// A name without line breaks.
pub(super) fn plain(name: &str) -> String {
    if name.contains(char::is_control) {
        format!("{name:?}")
    } else {
        name.to_owned()
    }
}

fn listing(entries: &[String], limits: &ToolLimits) -> String {
    if entries.is_empty() {
        return "[the directory is empty]".to_owned();
    }
    let mut text = String::new();
    let mut shown = 0;
    for entry in entries.iter().take(limits.list_entries) {
        if text.len() + entry.len() > limits.output_bytes {
            break;
        }
        text.push_str(entry);
        text.push('\n');
        shown += 1;
    }
    if shown < entries.len() {
        let hidden = entries.len() - shown;
        write!(
            text,
            "[… {hidden} more of {} entries; list a directory below, or use `search`]",
            entries.len()
        )
        .unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_listing_says_how_much_is_missing() {
        let entries: Vec<String> = (0..10).map(|number| format!("file{number}")).collect();
        let limits = ToolLimits {
            list_entries: 2,
            ..ToolLimits::default()
        };
        assert!(listing(&entries, &limits).starts_with("file0\nfile1\n[… 8 more of 10 entries"));
    }

    #[test]
    fn odd_names_stay_on_one_line() {
        assert_eq!(plain("a b'ä"), "a b'ä");
        assert_eq!(plain("two\nlines"), "\"two\\nlines\"");
    }
}
