//! The text of an event: one line for people.

use crate::duration_text;
use domain::{
    NanoDollars,
    event::Event,
    gate::GateVerdict,
    merge::{MergeEnd, MergeState, decision_in_words},
    plan::first_line,
    run::{Check, CheckSource},
    task::AttemptEnd,
};
use std::time::Duration;

/// The most characters of a tool call's summary.
const SUMMARY: usize = 100;

/// One line for people. It may quote models and repositories: a terminal cleans it first.
pub fn event_text(event: &Event) -> String {
    match event {
        Event::RunSubmitted { objective } => format!("submitted: {objective}"),
        Event::WorkspacePrepared {
            base,
            base_branch,
            check,
        } => format!("hub ready at {} ({base_branch}), {}", base.short(), check_text(check)),
        Event::PlanRequested { round, problems } if *round > 1 => {
            format!("the director corrects its plan, round {round}: {}", problems.join("; "))
        }
        Event::PlanRequested { .. } => "the director plans".to_owned(),
        Event::PlanSaved {
            version,
            tasks,
            levels,
            repairs,
        } => {
            let size = format!("{}, {}", count(*tasks, "task"), count(*levels, "level"));
            match repairs.is_empty() {
                true => format!("plan v{version}: {size}"),
                false => format!("plan v{version}: {size}; repaired: {}", repairs.join("; ")),
            }
        }
        Event::TaskReady => "ready".to_owned(),
        Event::TaskClaimed { attempt, .. } => format!("attempt {attempt} starts"),
        Event::TurnAnswered { turn, tools, cost, .. } => turn_text(*turn, tools, *cost),
        Event::ToolStarted { turn, tool, summary } => {
            let summary = first_line(summary, SUMMARY);
            match summary.starts_with(tool.as_str()) {
                true => format!("turn {turn} · {summary} starts"),
                false => format!("turn {turn} · {} starts", format!("{tool} {summary}").trim_end()),
            }
        }
        Event::ModelRetried { why, wait_ms } => {
            let wait = duration_text(Duration::from_millis(*wait_ms));
            format!("model call failed ({}); next try in {wait}", why.replace('_', " "))
        }
        Event::TaskBlocked { on: Some(on) } => format!("waits for {on}"),
        Event::TaskBlocked { on: None } => "continues: what it waited for is back".to_owned(),
        Event::AttemptEnded { attempt, end, .. } => attempt_text(*attempt, end),
        Event::MergeQueued { commit } => format!("work {} is in the merge queue", commit.short()),
        Event::MergeProgressed { state, conflicts, .. } => merge_text(*state, conflicts),
        Event::ConflictDecided {
            path,
            layer,
            result,
            reason,
            ..
        } => named(
            &format!("conflict in {path} {}", decision_in_words(layer, result)),
            reason,
        ),
        Event::IntegrityFlagged { flag, .. } => format!("integrity flag: {}: {}", flag.title(), flag.detail),
        Event::MergeWaiting { conflicts, why, .. } => match conflicts.is_empty() {
            true => format!("waits for you: {why}"),
            false => format!("waits for you: conflict in {}", conflicts.join(", ")),
        },
        Event::MergeDecided { paths, by, .. } => match paths.is_empty() {
            true => format!("{by} sent it through the layers again; it is in the merge queue again"),
            false => format!("{by} decided {}; it is in the merge queue again", paths.join(", ")),
        },
        Event::GateFinished {
            verdict,
            passed,
            failed,
            flaky,
            ..
        } => {
            let text = gate_text(*verdict, *passed, *failed);
            match flaky.is_empty() {
                true => text,
                false => format!("{text}; flaky: {}", flaky.join(", ")),
            }
        }
        Event::LandingIntended { commit, .. } => format!("landing {}", commit.short()),
        Event::MergeEnded { end, .. } => match end {
            MergeEnd::Landed { .. } => "the branch has moved".to_owned(),
            MergeEnd::Rejected { .. } => "the merge is rejected".to_owned(),
            MergeEnd::Error { reason } => format!("merge failed: {}", reason.message),
        },
        Event::TaskCompleted { commit: Some(commit) } => format!("landed {}", commit.short()),
        Event::TaskCompleted { commit: None } => "complete, nothing had to change".to_owned(),
        Event::TaskReturned { reason } => format!("sent back: {}", reason.message),
        Event::TaskFailed { reason } | Event::RunFailed { reason } => format!("failed: {}", reason.message),
        Event::TaskCancelled { reason } => format!("cancelled: {}", reason.message),
        Event::TaskRecovered { .. } => "its process was lost; it continues where it was".to_owned(),
        Event::RunDelivering => "everything has landed; delivering the branch".to_owned(),
        Event::DeliveryRequested {
            allow_integrity_flags: false,
        } => "delivery requested".to_owned(),
        Event::DeliveryRequested {
            allow_integrity_flags: true,
        } => "delivery requested, despite integrity flags".to_owned(),
        Event::PushIntended(intent) => format!("pushing branch {} to {}", intent.branch, intent.address),
        Event::DeliveryStepEnded(end) => named(&end.step.as_str().replace('_', " "), &end.said),
        Event::RunCompleted { commit, .. } => format!("complete at {}", commit.short()),
        Event::EffectFailed { effect, reason } => format!("{effect} failed: {}", reason.message),
        Event::RunExpired => "trees and outputs deleted (retention)".to_owned(),
        Event::RunCancelled => "cancelled".to_owned(),
    }
}

/// `check: cargo test (detected)`, or that there is none.
pub fn check_text(check: &Check) -> String {
    match &check.command {
        Some(command) => format!("check: {command} ({})", check_source(check.source)),
        None => "unchecked: there is no check command".to_owned(),
    }
}

/// Where a check command comes from.
pub const fn check_source(source: CheckSource) -> &'static str {
    match source {
        CheckSource::Request => "requested",
        CheckSource::Configuration => "configured",
        CheckSource::Detected => "detected",
        CheckSource::NotConfigured => "not configured",
    }
}

fn turn_text(turn: u32, tools: &[String], cost: Option<NanoDollars>) -> String {
    let tools = match tools.is_empty() {
        true => "answers".to_owned(),
        false => tools.join(", "),
    };
    match cost {
        Some(cost) => format!("turn {turn} · {tools} · {cost}"),
        None => format!("turn {turn} · {tools}"),
    }
}

fn attempt_text(attempt: u32, end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Submitted { .. } => format!("attempt {attempt} submitted its work"),
        AttemptEnd::Released => format!("attempt {attempt} is paused"),
        AttemptEnd::Unchanged => format!("attempt {attempt} changed nothing"),
        AttemptEnd::Failed { .. } => format!("attempt {attempt} failed"),
        AttemptEnd::Unrecoverable { .. } => format!("attempt {attempt} failed; another would fail, too"),
    }
}

fn merge_text(state: MergeState, conflicts: &[String]) -> String {
    match state {
        MergeState::Queued => "the merge is in the queue again".to_owned(),
        MergeState::Merging => "merging".to_owned(),
        MergeState::Resolving => format!("conflict in {}, resolver at work", conflicts.join(", ")),
        MergeState::Verifying => "merged, the gate runs".to_owned(),
        MergeState::Waiting => "the merge waits for a person".to_owned(),
        MergeState::Landed => "the merge has landed".to_owned(),
        MergeState::Rejected => "the merge is rejected".to_owned(),
        MergeState::Error => "the merge failed".to_owned(),
    }
}

fn gate_text(verdict: GateVerdict, passed: Option<u64>, failed: Option<u64>) -> String {
    let tests = match (passed, failed) {
        (None, None) => String::new(),
        (passed, None | Some(0)) => format!(", {}", count(passed.unwrap_or(0), "test")),
        (passed, Some(failed)) => format!(", {failed} of {} failed", count(passed.unwrap_or(0) + failed, "test")),
    };
    match verdict {
        GateVerdict::Passed => format!("gate passed{tests}"),
        GateVerdict::Failed => format!("gate failed{tests}"),
        GateVerdict::CouldNotRun => "gate could not run".to_owned(),
        GateVerdict::NotConfigured => "unchecked".to_owned(),
    }
}

/// `push: up to date`; without the name where the text starts with it.
fn named(name: &str, text: &str) -> String {
    let has_name = text.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    match (text.is_empty(), has_name) {
        (true, _) => name.to_owned(),
        (false, true) => text.to_owned(),
        (false, false) => format!("{name}: {text}"),
    }
}

/// `1 task`, `2 tasks`.
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_that_begins_with_its_name_is_not_named_twice() {
        for (text, expected) in [
            ("branch orchestrator/1 is there", "branch orchestrator/1 is there"),
            ("up to date", "branch: up to date"),
            ("branches differ", "branch: branches differ"),
            ("", "branch"),
        ] {
            assert_eq!(named("branch", text), expected);
        }
    }
}
