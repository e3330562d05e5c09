//! Merging the contents of one file as git's ORT does, with the very function it uses.

use crate::merge::xdiff;

/// Larger files are git's job. The limits also bound how deep the histogram diff calls itself, which it does to the
/// left of the longest, rarest run: each deeper call needs a shorter or more frequent run than the one before.
pub(crate) const MAX_BYTES: usize = 2 << 20;
const MAX_LINES: usize = 50_000;

/// What came of merging contents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Both sides' changes.
    Clean(Vec<u8>),
    /// Both sides changed the same lines.
    Conflict,
    /// Binary, or too large to be decided here.
    NotText,
}

/// What can be merged here. git looks for a zero byte in the first 8000 only; a file with a later one is rare enough
/// to ask git.
pub(crate) fn is_text(content: &[u8]) -> bool {
    content.len() <= MAX_BYTES
        && !content.contains(&0)
        && content.iter().filter(|byte| **byte == b'\n').count() <= MAX_LINES
}

/// Merges three versions of a file.
pub(crate) fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Merged {
    if ![base, ours, theirs].into_iter().all(is_text) {
        return Merged::NotText;
    }
    xdiff::merge(base, ours, theirs).map_or(Merged::Conflict, Merged::Clean)
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, Merged, merge};

    const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

    fn merged(ours: &str, theirs: &str) -> Option<String> {
        match merge(BASE.as_bytes(), ours.as_bytes(), theirs.as_bytes()) {
            Merged::Clean(bytes) => Some(String::from_utf8(bytes).unwrap()),
            Merged::Conflict | Merged::NotText => None,
        }
    }

    #[test]
    fn interleaved_edits_are_joined() {
        assert_eq!(
            merged("ONE\ntwo\nthree\nfour\nFIVE\n", "one\ntwo\nTHREE\nfour\nfive\n"),
            Some("ONE\ntwo\nTHREE\nfour\nFIVE\n".to_owned())
        );
    }

    #[test]
    fn edits_of_neighbouring_lines_conflict() {
        assert_eq!(
            merged("one\nTWO\nthree\nfour\nfive\n", "one\ntwo\nTHREE\nfour\nfive\n"),
            None
        );
    }

    #[test]
    fn a_missing_last_line_end_is_a_change() {
        assert_eq!(
            merged("ONE\ntwo\nthree\nfour\nfive\n", "one\ntwo\nthree\nfour\nfive"),
            Some("ONE\ntwo\nthree\nfour\nfive".to_owned())
        );
    }

    #[test]
    fn binary_and_huge_contents_are_left_to_git() {
        assert_eq!(merge(b"a\nb\nc\n", b"A\nb\nc\n", b"a\nb\nc\0\n"), Merged::NotText);
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(merge(b"x\n", b"x\n", long.as_bytes()), Merged::NotText);
    }

    /// Neither the time nor the stack of a thread is at the mercy of who writes the files.
    #[test]
    fn expensive_contents_are_bounded() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut noise = |words: u32| -> String {
            (0..MAX_LINES - 1)
                .map(|_| format!("{}\n", random.u32(..words)))
                .collect()
        };
        let few_words = [noise(2), noise(2), noise(3)];
        let many_words = [noise(1_000), noise(1_000), noise(1_000)];
        // Runs that grow to the right, kept apart by lines that differ: the deepest calls there are.
        let runs = |apart: &str| -> String {
            (1..300)
                .map(|run| {
                    let lines: String = (0..run).map(|line| format!("{run} {line}\n")).collect();
                    format!("{lines}{apart} {run}\n")
                })
                .collect()
        };
        let deep = [runs("base"), runs("ours"), runs("theirs")];
        let started = std::time::Instant::now();
        for [base, ours, theirs] in [few_words, many_words, deep] {
            assert_ne!(
                merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()),
                Merged::NotText
            );
        }
        assert!(
            started.elapsed() < std::time::Duration::from_secs(20),
            "{:?}",
            started.elapsed()
        );
    }
}
