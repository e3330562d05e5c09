//! Validates a resolution without running anything.

use super::{ConflictOrder, DroppedLine};
use std::collections::BTreeSet;

/// Bytes that a resolution may have beyond base and both sides together.
const SPARE_BYTES: usize = 8 << 10;
const MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// The text with the line endings of the sides.
pub fn fitted(text: &str, sides: [&str; 2]) -> String {
    let mut text = text.to_owned();
    let is_crlf = sides.iter().any(|side| side.contains("\r\n"));
    if is_crlf && !text.contains("\r\n") {
        text = text.replace('\n', "\r\n");
    }
    let ends_lines = sides.iter().all(|side| side.is_empty() || side.ends_with('\n'));
    if ends_lines && !text.is_empty() && !text.ends_with('\n') {
        text.push_str(if is_crlf { "\r\n" } else { "\n" });
    }
    text
}

/// Refuses markers, a dropped side, and dropped lines without an explanation.
pub(super) fn check(text: &str, dropped: &[DroppedLine], order: &ConflictOrder) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    if let Some(line) = text.lines().find(|line| is_marker(line, order)) {
        problems.push(format!("the text holds a conflict marker: {line:?}"));
    }
    let most = order.base.len() + order.ours.len() + order.theirs.len() + SPARE_BYTES;
    if text.len() > most {
        let length = text.len();
        problems.push(format!(
            "the text has {length} bytes, more than the conflict can need ({most}); give only the lines in its place"
        ));
    }
    let kept = lines(text);
    let explained: BTreeSet<&str> = dropped
        .iter()
        .filter(|dropped| !dropped.why.trim().is_empty())
        .map(|dropped| dropped.line.trim())
        .collect();
    for (side, own, other) in [
        ("ours", &order.ours, &order.theirs),
        ("theirs", &order.theirs, &order.ours),
    ] {
        let added = added_by(own, other, order);
        let lost: Vec<&str> = added.iter().copied().filter(|line| !kept.contains(line)).collect();
        problems.extend(
            lost.iter()
                .filter(|line| !explained.contains(*line))
                .map(|line| format!("a line that only {side} added is gone without being in dropped_lines: {line:?}")),
        );
        if !lost.is_empty() && same_lines(text, other) {
            problems.push(format!(
                "the text is the other side as it is, so what {side} did is dropped; join both, or decline"
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A line that looks like a conflict marker and is in neither side.
fn is_marker(line: &str, order: &ConflictOrder) -> bool {
    let looks = MARKERS.iter().any(|marker| {
        line.strip_prefix(marker)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\r']))
    });
    let is_content = [&order.base, &order.ours, &order.theirs]
        .iter()
        .any(|side| side.lines().any(|own| own == line));
    looks && !is_content
}

/// The lines that only this side has.
fn added_by<'a>(own: &'a str, other: &str, order: &ConflictOrder) -> Vec<&'a str> {
    let known: BTreeSet<&str> = lines(&order.base).union(&lines(other)).copied().collect();
    let mut seen = BTreeSet::new();
    own.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !known.contains(line) && seen.insert(*line))
        .collect()
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).collect()
}

fn same_lines(left: &str, right: &str) -> bool {
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    plain(left) == plain(right)
}
