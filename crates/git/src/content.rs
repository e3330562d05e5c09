//! Merging the contents of one file, where the answer does not depend on the diff algorithm.
//!
//! The rule: some line stands exactly once in each of the three versions, one side left everything up to it alone,
//! and the other side left everything from it on alone. Then the merge is one side's upper part and the other
//! side's lower part. Every diff algorithm must match that line with itself: nothing else is equal to it, and the
//! unchanged part on one side of it anchors it. So no hunk of either side can reach over it, hunks of the two sides
//! are never adjacent, and ORT (histogram) has no other answer.

use std::collections::HashMap;

/// Larger files are git's job.
const MAX_BYTES: usize = 4 << 20;

/// The merged content, if it is beyond doubt.
pub(crate) fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    if [base, ours, theirs]
        .iter()
        .any(|content| content.len() > MAX_BYTES || content.contains(&0))
    {
        return None;
    }
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    join_at_anchor(&base, &ours, &theirs).or_else(|| join_at_anchor(&base, &theirs, &ours))
}

/// `upper` changed only above some anchor, `lower` only below it.
fn join_at_anchor(base: &[&[u8]], upper: &[&[u8]], lower: &[&[u8]]) -> Option<Vec<u8>> {
    // Lines that `lower` left alone at the top, and `upper` at the bottom: anchors lie in both.
    let alike_above = base
        .iter()
        .zip(lower)
        .take_while(|(one, two)| one == two)
        .count();
    let alike_below = base
        .iter()
        .rev()
        .zip(upper.iter().rev())
        .take_while(|(one, two)| one == two)
        .count();
    let anchors = (base.len() - alike_below)..alike_above;
    let anchor = unique_in_all(base, anchors, upper, lower)?;
    let upper_end = upper.len() - (base.len() - anchor);
    Some([&upper[..upper_end], &lower[anchor..]].concat().concat())
}

/// The position in `base` of a line that stands once in each version.
fn unique_in_all(
    base: &[&[u8]],
    within: std::ops::Range<usize>,
    one: &[&[u8]],
    two: &[&[u8]],
) -> Option<usize> {
    if within.is_empty() {
        return None;
    }
    let mut candidates: HashMap<&[u8], [u32; 3]> = base[within.clone()]
        .iter()
        .map(|line| (*line, [0; 3]))
        .collect();
    for (version, content) in [base, one, two].into_iter().enumerate() {
        for line in content {
            if let Some(counts) = candidates.get_mut(line) {
                counts[version] += 1;
            }
        }
    }
    within
        .into_iter()
        .find(|position| candidates.get(base[*position]) == Some(&[1; 3]))
}

/// The lines with their line ends, so that a missing last line end is a difference.
fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::merge;

    const BASE: &str = "one\ntwo\nthree\nfour\nfive\n";

    fn merged(ours: &str, theirs: &str) -> Option<String> {
        merge(BASE.as_bytes(), ours.as_bytes(), theirs.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn edits_on_either_side_of_an_anchor_are_joined() {
        let expected = Some("ONE\ntwo\nthree\nfour\nFIVE\nsix\n".to_owned());
        assert_eq!(
            merged(
                "ONE\ntwo\nthree\nfour\nfive\n",
                "one\ntwo\nthree\nfour\nFIVE\nsix\n"
            ),
            expected
        );
        assert_eq!(
            merged(
                "one\ntwo\nthree\nfour\nFIVE\nsix\n",
                "ONE\ntwo\nthree\nfour\nfive\n"
            ),
            expected
        );
    }

    #[test]
    fn adjacent_edits_are_left_to_git() {
        assert_eq!(
            merged(
                "one\nTWO\nthree\nfour\nfive\n",
                "one\ntwo\nTHREE\nfour\nfive\n"
            ),
            None
        );
    }

    #[test]
    fn an_anchor_that_a_side_repeats_is_no_anchor() {
        let base = "a\nb\nb\nb\nc\n";
        assert_eq!(
            merge(base.as_bytes(), b"A\nb\nb\nb\nc\n", b"a\nb\nb\nb\nC\n"),
            None
        );
        assert_eq!(
            merged(
                "one\ntwo\nthree\nfour\none\ntwo\nthree\nfour\nfive\n",
                "one\ntwo\nthree\nfour\n5\n"
            ),
            None
        );
    }

    #[test]
    fn a_missing_last_line_end_is_a_change() {
        assert_eq!(
            merged(
                "ONE\ntwo\nthree\nfour\nfive\n",
                "one\ntwo\nthree\nfour\nfive"
            ),
            Some("ONE\ntwo\nthree\nfour\nfive".to_owned())
        );
    }

    #[test]
    fn binary_contents_are_left_to_git() {
        assert_eq!(merge(b"a\nb\nc\n", b"A\nb\nc\n", b"a\nb\nc\0\n"), None);
    }
}
