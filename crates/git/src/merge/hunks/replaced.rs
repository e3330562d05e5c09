//! What stands in the hunks' places in a whole text that somebody made of a conflict.

use super::{ConflictedText, Segment};
use std::ops::Range;

impl ConflictedText {
    /// The replacements that [`Self::resolve`] would make the text of; `None` where something outside the hunks was
    /// changed, or where more than one reading is possible.
    pub fn replaced(&self, text: &str) -> Option<Vec<String>> {
        let first = self.places(text, Search::Forwards)?;
        if first != self.places(text, Search::Backwards)? {
            return None;
        }
        let mut replaced = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if let Segment::Hunk(_) = segment {
                let start = index.checked_sub(1).map_or(0, |before| first[before].end);
                let end = first.get(index + 1).map_or(text.len(), |after| after.start);
                replaced.push(text.get(start..end)?.to_owned());
            }
        }
        let whole = self.resolve(&replaced).ok()?;
        (whole == text.as_bytes()).then_some(replaced)
    }

    /// Where each decided segment stands in the text, in order; an empty range for each hunk.
    fn places(&self, text: &str, search: Search) -> Option<Vec<Range<usize>>> {
        let last = self.segments.len().checked_sub(1)?;
        let mut places = vec![0..0; self.segments.len()];
        // What is not yet taken.
        let mut free = 0..text.len();
        let order: Vec<usize> = match search {
            Search::Forwards => (0..=last).collect(),
            Search::Backwards => (0..=last).rev().collect(),
        };
        for index in order {
            let Segment::Decided(decided) = &self.segments[index] else {
                continue;
            };
            let start = match index {
                0 => text.starts_with(decided.as_str()).then_some(0)?,
                _ if index == last => text.len() - text.strip_suffix(decided.as_str()).map(|_| decided.len())?,
                _ => search.find(text, &free, decided)?,
            };
            let place = start..start + decided.len();
            if place.start < free.start || place.end > free.end {
                return None;
            }
            match search {
                Search::Forwards => free.start = place.end,
                Search::Backwards => free.end = place.start,
            }
            places[index] = place;
        }
        Some(places)
    }
}

#[derive(Clone, Copy)]
enum Search {
    Forwards,
    Backwards,
}

impl Search {
    /// The first, or the last, place of whole lines within a range.
    fn find(self, text: &str, within: &Range<usize>, lines: &str) -> Option<usize> {
        let range = text.get(within.clone())?;
        let begins_a_line = |at: &usize| *at == 0 || text.as_bytes()[at - 1] == b'\n';
        let place = |(at, _): (usize, &str)| within.start + at;
        match self {
            Self::Forwards => range.match_indices(lines).map(place).find(begins_a_line),
            Self::Backwards => range.rmatch_indices(lines).map(place).find(begins_a_line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConflictedText, Hunk, Segment};

    fn conflicted(parts: &[&str]) -> ConflictedText {
        let segment = |(index, part): (usize, &&str)| match index % 2 {
            0 => Segment::Decided((*part).to_owned()),
            _ => Segment::Hunk(Hunk {
                line: 0,
                base: "base\n".into(),
                ours: "ours\n".into(),
                theirs: "theirs\n".into(),
            }),
        };
        let segments = parts.iter().enumerate().map(segment);
        let filled = |segment: &Segment| !matches!(segment, Segment::Decided(text) if text.is_empty());
        ConflictedText {
            segments: segments.filter(filled).collect(),
        }
    }

    #[test]
    fn written_values_are_read_back() {
        let text = conflicted(&["a\n", "", "b\nc\n", "", "d\n"]);
        for replaced in [["x\n", "y\n"], ["", ""], ["b\n", "c\n"], ["x\ny\n", ""]] {
            let whole = String::from_utf8(text.resolve(&replaced).unwrap()).unwrap();
            assert_eq!(text.replaced(&whole).unwrap(), replaced, "{whole}");
        }
        let at_the_ends = conflicted(&["", "", "b\n", "", ""]);
        assert_eq!(at_the_ends.replaced("x\nb\ny").unwrap(), ["x\n", "y"]);
    }

    #[test]
    fn ambiguous_text_is_not_read() {
        let text = conflicted(&["a\n", "", "}\n", "", "d\n"]);
        assert_eq!(text.replaced("a\nx\n}\ny\nd\n").unwrap(), ["x\n", "y\n"]);
        assert_eq!(text.replaced("a\nx\n}\ny\n}\nd\n"), None);
    }

    #[test]
    fn text_changed_elsewhere_is_not_read() {
        let text = conflicted(&["a\n", "", "b\n", "", "d\n"]);
        for other in [
            "A\nx\nb\ny\nd\n",
            "a\nx\nB\ny\nd\n",
            "a\nx\nb\ny\nd\nmore\n",
            "",
            "a\nd\n",
            "a\nxb\nd\n",
        ] {
            assert_eq!(text.replaced(other), None, "{other}");
        }
    }
}
