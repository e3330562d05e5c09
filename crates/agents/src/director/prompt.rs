//! The director's prompt.

use super::PlanOrder;
use crate::text::quoted;
use domain::run::{Check, CheckSource};

/// The constant part: the same bytes for every plan.
pub(super) const SYSTEM: &str = include_str!("../../prompts/director.md");

/// The most root entries that are shown.
const LISTING: usize = 200;

/// The variable part: objective, repository, profiles, limits.
pub(super) fn user(order: &PlanOrder) -> String {
    let facts = &order.repository;
    let mut lines = vec![
        "## Objective".to_owned(),
        quoted(&order.objective),
        "\n## Repository".to_owned(),
        format!("Everything starts from commit {}.", facts.base.short()),
        check(&facts.check),
    ];
    lines.extend(listing(&facts.listing));

    lines.push("\n## Profiles".to_owned());
    for profile in order.profiles.iter() {
        lines.push(format!("- `{}`: {}", profile.name, profile.description));
    }

    let limits = &order.limits;
    lines.push("\n## Limits".to_owned());
    lines.push(format!(
        "At most {} tasks, at most {} of them in one chain; {} run at one time.",
        limits.tasks, limits.depth, limits.active_tasks
    ));
    lines.join("\n")
}

fn check(check: &Check) -> String {
    match (&check.command, check.source) {
        (Some(command), CheckSource::Detected) => {
            format!("Check command, found in the repository: `{command}`")
        }
        (Some(command), CheckSource::Request | CheckSource::Configuration | CheckSource::NotConfigured) => {
            format!("Check command: `{command}`")
        }
        (None, _) => "There is no check command: merges land unchecked.".to_owned(),
    }
}

fn listing(entries: &[String]) -> Vec<String> {
    if entries.is_empty() {
        return vec!["The tree is empty: every file must be created.".to_owned()];
    }
    let shown = &entries[..entries.len().min(LISTING)];
    let mut lines = vec!["Entries at the root:".to_owned(), quoted(&shown.join("\n"))];
    if entries.len() > shown.len() {
        lines.push(format!("and {} more.", entries.len() - shown.len()));
    }
    lines
}

/// The answer to an invalid plan.
pub(super) fn refused<'a>(problems: impl Iterator<Item = &'a String>) -> String {
    let problems: Vec<String> = problems.map(|problem| format!("- {problem}\n")).collect();
    format!(
        "The plan was refused:\n{}Answer with the whole corrected document.",
        problems.concat()
    )
}
