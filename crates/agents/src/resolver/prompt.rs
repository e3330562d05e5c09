//! The resolver's prompt, within a size limit.

use super::{ConflictOrder, PastDecision};
use crate::text::{head_and_tail, quoted, tokens};

/// The constant part: the same bytes for every conflict.
pub(super) const SYSTEM: &str = include_str!("../../prompts/resolver.md");

/// The most tokens of a conflict's description.
const TOKENS: usize = 6_000;
/// Bytes of one intent.
const INTENT_BYTES: usize = 2_000;
/// Bytes of another model's answer.
const EARLIER_BYTES: usize = 1_000;
/// The most earlier conflicts that are shown.
const PAST_DECISIONS: usize = 3;

/// The conflict and its context; `None` if the conflict alone is too large.
///
/// If not everything fits, earlier conflicts are left out first, then the intents, then the differences, then the
/// surrounding lines.
pub(super) fn user(order: &ConflictOrder) -> Option<String> {
    let mut text = conflict(order);
    if tokens(SYSTEM.len() + text.len()) > TOKENS {
        return None;
    }
    let left = |text: &String| (TOKENS * 4).saturating_sub(SYSTEM.len() + text.len());
    let parts = [around(order), differences(order), intents(order)];
    let past = order.past.iter().take(PAST_DECISIONS).map(decided_before);
    for part in parts.into_iter().chain(past) {
        if part.len() <= left(&text) {
            text.push_str(&part);
        }
    }
    Some(text)
}

/// The reply to an invalid answer.
pub(super) fn refused(problems: &[String]) -> String {
    format!(
        "The answer does not hold:\n- {}\nAnswer with the whole corrected document, or decline.",
        problems.join("\n- ")
    )
}

fn conflict(order: &ConflictOrder) -> String {
    let language = order
        .language
        .as_ref()
        .map(|language| format!("language: {language}\n"))
        .unwrap_or_default();
    let earlier = order.earlier.as_ref().map(|said| {
        let said = head_and_tail(said, EARLIER_BYTES);
        format!("\n## Another model left it open\n{}", part("It said", &said))
    });
    format!(
        "task: {}\nfile: {}\nhunk: {}\nof: {}\n{language}\n## Conflict\n{}{}{}{}",
        order.task,
        order.file,
        order.hunk,
        order.hunks,
        part("Base, the lines as they were", &order.base),
        part("Ours, what is in the branch", &order.ours),
        part("Theirs, what the task made of them", &order.theirs),
        earlier.unwrap_or_default(),
    )
}

fn around(order: &ConflictOrder) -> String {
    let before = part("The lines before", &order.before);
    let after = part("The lines after", &order.after);
    format!("\n## Around it, not to be repeated\n{before}{after}")
}

fn differences(order: &ConflictOrder) -> String {
    let ours = part("Ours against the base", &order.ours_diff);
    let theirs = part("Theirs against the base", &order.theirs_diff);
    format!("\n## What each side changed in this file\n{ours}{theirs}")
}

fn intents(order: &ConflictOrder) -> String {
    let ours = head_and_tail(&order.ours_intent, INTENT_BYTES);
    let theirs = head_and_tail(&order.theirs_intent, INTENT_BYTES);
    format!(
        "\n## What each side was meant to do\n{}{}",
        part("Ours", &ours),
        part("Theirs", &theirs)
    )
}

fn decided_before(past: &PastDecision) -> String {
    format!(
        "\n## A conflict that was decided before, in {}\n{}{}{}{}",
        past.file,
        part("Base", &past.base),
        part("Ours", &past.ours),
        part("Theirs", &past.theirs),
        part("What landed", &past.text),
    )
}

fn part(title: &str, text: &str) -> String {
    if text.is_empty() {
        return format!("{title}: nothing\n");
    }
    format!("{title}:\n{}\n", quoted(text))
}
