//! Names that git keeps for itself, on whichever file system a tree may be checked out one day.
//!
//! A tree is bytes, but HFS+ skips some code points, NTFS drops dots and blanks at the end, knows streams and short
//! names, and both fold case. Each of these has led a clone to write into `.git`. The rules are those of git's own
//! `core.protectHFS` and `core.protectNTFS`, taken together: what one file system makes of a name is read by the rules of
//! the other as well. The tests ask `git fsck`.

#[cfg(test)]
mod oracle;

use crate::tree::{EXECUTABLE, FILE, LINK};

/// Why an entry may not be in a tree of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Some file system takes its name for `.git`.
    DotGit,
    /// git reads this file of the name, and it is none: a symlink, for instance.
    NoFile(&'static str),
}

/// Files that git reads from a checkout and takes nothing but a file for: their names, and how NTFS shortens them when
/// the plain short names are taken.
const CONTROL_FILES: [(&str, &str); 4] = [
    (".gitmodules", "gi7eba"),
    (".gitattributes", "gi7d29"),
    (".gitignore", "gi250a"),
    (".mailmap", "maba30"),
];

/// Why a tree entry may not be added; `None`: it may.
pub(crate) fn reserved(name: &[u8], mode: i32) -> Option<Reserved> {
    if is_dot_git(name) {
        return Some(Reserved::DotGit);
    }
    match mode {
        FILE | EXECUTABLE => None,
        _ => control_file(name).map(Reserved::NoFile),
    }
}

/// Whether git refuses to check an entry out: less than may not be added, because links for what only git reads, such as
/// `.gitignore`, were harmless once and stand in repositories.
pub(crate) fn is_never_checked_out(name: &[u8], mode: i32) -> bool {
    is_dot_git(name) || mode == LINK && control_file(name) == Some(".gitmodules")
}

/// Whether some file system takes a name for `.git`.
pub(crate) fn is_dot_git(name: &[u8]) -> bool {
    let dot_git = |part: &[u8]| part.eq_ignore_ascii_case(b".git") || part.eq_ignore_ascii_case(b"git~1");
    spellings(name)
        .iter()
        .flat_map(|spelling| stored_names(spelling))
        .any(dot_git)
}

/// The file of git's that some file system takes a name for.
pub(crate) fn control_file(name: &[u8]) -> Option<&'static str> {
    let control_file = |part: &[u8]| {
        let same = |(full, hashed): &&(&str, &str)| {
            part.eq_ignore_ascii_case(full.as_bytes()) || is_short_name(part, full, hashed)
        };
        CONTROL_FILES.iter().find(same).map(|(full, _)| *full)
    };
    spellings(name)
        .iter()
        .flat_map(|spelling| stored_names(spelling))
        .find_map(control_file)
}

/// A name without the code points that HFS+ ignores: whole, and up to the first byte that is no UTF-8, where git ends
/// to read it for HFS+.
fn spellings(name: &[u8]) -> [Vec<u8>; 2] {
    let mut whole = Vec::with_capacity(name.len());
    let mut readable = None;
    for chunk in name.utf8_chunks() {
        let shown = chunk.valid().chars().filter(|char| !is_ignored(*char));
        for char in shown {
            whole.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if !chunk.invalid().is_empty() {
            readable.get_or_insert_with(|| whole.clone());
            whole.extend_from_slice(chunk.invalid());
        }
    }
    let readable = readable.unwrap_or_else(|| whole.clone());
    [whole, readable]
}

/// The code points that HFS+ compares names without.
pub(crate) fn is_ignored(char: char) -> bool {
    matches!(char,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Under which names NTFS stores what is written to this one: a backslash parts directories, a stream belongs to its
/// file, dots and blanks at the end are dropped.
fn stored_names(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == b'\\').map(|part| {
        let part = part.split(|byte| *byte == b':').next().unwrap_or_default();
        let last = part.iter().rposition(|byte| !matches!(byte, b'.' | b' '));
        &part[..last.map_or(0, |last| last + 1)]
    })
}

/// Whether a name is one that NTFS may give a file as its short name: six letters and `~1` to `~4`, or, where those are
/// taken, letters of a hash and a number, eight signs in all.
fn is_short_name(name: &[u8], full: &str, hashed: &str) -> bool {
    let Some(tilde) = name.iter().position(|byte| *byte == b'~') else {
        return false;
    };
    let (letters, number) = (&name[..tilde], &name[tilde + 1..]);
    let plain = full.as_bytes()[1..7].eq_ignore_ascii_case(letters) && matches!(number, [b'1'..=b'4']);
    let numbered = matches!(number, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    let begins = letters.len() <= 6 && hashed.as_bytes()[..letters.len()].eq_ignore_ascii_case(letters);
    plain || numbered && begins && name.len() == 8
}

#[cfg(test)]
mod tests {
    use super::{control_file, is_dot_git};

    #[test]
    fn every_spelling_of_git_is_known() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".g\u{200d}it",
            "\u{feff}.git",
            ".git\u{206f}",
            ".G\u{202e}I\u{200c}T\u{200f}",
            "git~1",
            "GIT~1",
            "GiT~1 . .",
            ".git.",
            ".git ",
            ".git. . ",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".GIT .:x",
            "git~1:x",
            "a\\.git",
            ".git\\hooks",
            "a\\git~1\\b",
            ".g\u{200d}it .",
        ] {
            assert!(is_dot_git(name.as_bytes()), "{name:?}");
        }
        for name in [
            ".gitx",
            "git",
            "..git",
            ". git",
            ".github",
            ".git-x",
            "git~2",
            "git~10",
            "a.git",
            ".git.x",
            "",
            ".",
            "...",
            "g\u{200d}it",
            ".git_",
            "x:.git",
            ".g\u{131}t",
        ] {
            assert!(!is_dot_git(name.as_bytes()), "{name:?}");
        }
        assert!(is_dot_git(b".git\xff") && is_dot_git(b"a\xff\\.git") && !is_dot_git(b"\xff.git"));
    }

    #[test]
    fn every_spelling_of_a_control_file_is_known() {
        for (name, full) in [
            (".gitmodules", ".gitmodules"),
            (".GitModules .", ".gitmodules"),
            (".git\u{200c}modules", ".gitmodules"),
            (".gitmodules:stream", ".gitmodules"),
            ("gitmod~1", ".gitmodules"),
            ("GITMOD~4 ", ".gitmodules"),
            ("gi7eba~1", ".gitmodules"),
            ("GI7E~123", ".gitmodules"),
            ("~1234567", ".gitmodules"),
            (".gitattributes", ".gitattributes"),
            ("GITATT~2", ".gitattributes"),
            ("gi7d29~9", ".gitattributes"),
            ("gi250a~1", ".gitignore"),
            ("gitign~1", ".gitignore"),
            ("maba30~1", ".mailmap"),
            ("MAILMA~1", ".mailmap"),
        ] {
            assert_eq!(control_file(name.as_bytes()), Some(full), "{name:?}");
        }
        for name in [
            "gitmod~5",
            "gi7eba~0",
            "gi7eba~12",
            "gitmodules",
            ".gitmodules.x",
            "gi7ebb~1",
            "~123456",
            ".gitmod",
        ] {
            assert_eq!(control_file(name.as_bytes()), None, "{name:?}");
        }
    }
}
