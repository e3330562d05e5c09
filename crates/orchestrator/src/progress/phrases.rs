//! Phrases that lines, the block and the report share.

use super::{board::Gate, news::Line, words::clean};
use domain::{
    gate::GateVerdict,
    merge::MergeState,
    run::{Check, CheckSource},
    task::AttemptEnd,
};

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// `check: cargo test (detected)`, or that there is none.
pub(crate) fn check_words(check: &Check) -> String {
    match &check.command {
        Some(command) => format!("check: {} ({})", clean(command), check_source(check.source)),
        None => "unchecked: there is no check command".to_owned(),
    }
}

/// Where a check command comes from.
pub(crate) fn check_source(source: CheckSource) -> &'static str {
    match source {
        CheckSource::Request => "requested",
        CheckSource::Configuration => "configured",
        CheckSource::Detected => "detected",
        CheckSource::NotConfigured => "not configured",
    }
}

/// `gate passed, 12 tests`.
pub(crate) fn gate_words(gate: Gate) -> String {
    let tests = match (gate.passed, gate.failed) {
        (None, None) => String::new(),
        (passed, None | Some(0)) => format!(", {}", count(passed.unwrap_or(0), "test")),
        (passed, Some(failed)) => format!(", {failed} of {} failed", count(passed.unwrap_or(0) + failed, "test")),
    };
    match gate.verdict {
        GateVerdict::Passed => format!("gate passed{tests}"),
        GateVerdict::Failed => format!("gate failed{tests}"),
        GateVerdict::CouldNotRun => "gate could not run".to_owned(),
        GateVerdict::NotConfigured => "unchecked".to_owned(),
    }
}

/// Why it failed, the task's own event says just before.
pub(super) fn attempt_ended(attempt: u32, end: &AttemptEnd) -> Line {
    match end {
        AttemptEnd::Submitted { .. } => Line::LogOnly(format!("attempt {attempt} submitted its work")),
        AttemptEnd::Released => Line::LogOnly(format!("attempt {attempt} is paused")),
        AttemptEnd::Unchanged => Line::News(format!("attempt {attempt} changed nothing")),
        AttemptEnd::Failed { .. } => Line::News(format!("attempt {attempt} failed")),
        AttemptEnd::Unrecoverable { .. } => Line::News(format!("attempt {attempt} failed; another would fail, too")),
    }
}

/// Where an event of its own says it, that one is news.
pub(super) fn merge_progressed(state: MergeState, conflicts: &[String]) -> Line {
    match state {
        MergeState::Resolving => Line::News(format!(
            "conflict in {}, resolver at work",
            clean(&conflicts.join(", "))
        )),
        MergeState::Verifying => Line::News("merged, the gate runs".to_owned()),
        MergeState::Queued => Line::LogOnly("the merge is in the queue again".to_owned()),
        MergeState::Merging => Line::LogOnly("merging".to_owned()),
        MergeState::Waiting => Line::LogOnly("the merge waits for a person".to_owned()),
        MergeState::Landed => Line::LogOnly("the merge has landed".to_owned()),
        MergeState::Rejected => Line::LogOnly("the merge is rejected".to_owned()),
        MergeState::Error => Line::LogOnly("the merge failed".to_owned()),
    }
}
