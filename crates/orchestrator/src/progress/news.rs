//! An event as one plain line.

use super::{
    board::{Entry, Gate},
    words::clean,
};
use domain::{
    event::Event,
    merge::{GateVerdict, MergeEnd, MergeState, decision_in_words},
    run::{Check, CheckSource},
    task::AttemptEnd,
};

/// What an event says to people, without its time; `None` for events that another one says better.
pub(crate) fn news(entry: &Entry) -> Option<String> {
    let words = words(&entry.event)?;
    Some(match &entry.task {
        Some(task) => format!("{task}: {words}"),
        None => words,
    })
}

fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunSubmitted { objective } => format!("submitted: {}", clean(objective)),
        Event::WorkspacePrepared {
            base,
            base_branch,
            check,
        } => {
            format!(
                "hub ready at {} ({}), {}",
                base.short(),
                clean(base_branch),
                check_words(check)
            )
        }
        Event::PlanAsked { round, problems } if *round > 1 => {
            format!(
                "the director mends its plan, round {round}: {}",
                clean(&problems.join("; "))
            )
        }
        Event::PlanAsked { .. } => "the director plans".to_owned(),
        Event::PlanSaved {
            version,
            tasks,
            levels,
            repairs,
        } => {
            let repairs = match repairs.len() {
                0 => String::new(),
                _ => format!("; repaired: {}", clean(&repairs.join("; "))),
            };
            format!(
                "plan v{version}: {}, {}{repairs}",
                count(*tasks, "task"),
                count(*levels, "level")
            )
        }
        Event::TaskReady | Event::ToolStarted { .. } | Event::LandingIntended { .. } => return None,
        Event::TaskClaimed { attempt, .. } => format!("attempt {attempt} starts"),
        Event::TurnAnswered { turn, tools, cost, .. } => {
            let tools = match tools.len() {
                0 => "answers".to_owned(),
                _ => clean(&tools.join(", ")),
            };
            let cost = cost.map_or(String::new(), |cost| format!("  {cost}"));
            format!("turn {turn} · {tools}{cost}")
        }
        Event::ModelRetried { why, wait_ms } => {
            format!("the model makes it wait {wait_ms} ms: {}", clean(why))
        }
        Event::TaskBlocked { on: Some(on) } => format!("waiting for {}", clean(on)),
        Event::TaskBlocked { on: None } => "what it waited for is back".to_owned(),
        Event::AttemptEnded { attempt, end, .. } => return attempt_words(*attempt, end),
        Event::MergeQueued { commit } => format!("work {} waits to be merged", commit.short()),
        Event::MergeMoved { state, conflicts, .. } => return move_words(*state, conflicts),
        Event::ConflictDecided {
            path,
            layer,
            result,
            reason,
            ..
        } => {
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(": {}", clean(reason))
            };
            let decided = decision_in_words(&clean(layer), &clean(result));
            format!("conflict in {} {decided}{reason}", clean(path))
        }
        Event::IntegrityFlagged { flag, .. } => {
            format!("! integrity flag: {}: {}", clean(&flag.title()), clean(&flag.detail))
        }
        Event::MergeWaits { merge, conflicts, why } => {
            let about = match conflicts.is_empty() {
                true => clean(why),
                false => format!("conflict in {}", clean(&conflicts.join(", "))),
            };
            format!("! waits for you: {about} · orchestrator merges show {merge}")
        }
        Event::MergeAnswered { paths, by, .. } => {
            let what = match paths.is_empty() {
                true => "left it to the layers once more".to_owned(),
                false => format!("decided {}", clean(&paths.join(", "))),
            };
            format!("{} {what}; it is in the queue again", clean(by))
        }
        Event::GateFinished {
            verdict,
            passed,
            failed,
            flaky,
            ..
        } => {
            let words = gate_words(Gate {
                verdict: *verdict,
                passed: *passed,
                failed: *failed,
            });
            match flaky.as_slice() {
                [] => words,
                flaky => format!("{words}; flaky: {}", clean(&flaky.join(", "))),
            }
        }
        // The task's own event says where its work landed or why it went back.
        Event::MergeEnded {
            end: MergeEnd::Landed { .. } | MergeEnd::Rejected { .. },
            ..
        } => return None,
        Event::MergeEnded {
            end: MergeEnd::Error { reason },
            ..
        } => format!("merge failed: {}", clean(&reason.message)),
        Event::TaskCompleted { commit: Some(commit) } => format!("landed {}", commit.short()),
        Event::TaskCompleted { commit: None } => "complete, nothing had to change".to_owned(),
        Event::TaskReturned { reason } => format!("goes back: {}", clean(&reason.message)),
        Event::TaskFailed { reason } => format!("failed: {}", clean(&reason.message)),
        Event::TaskCancelled { reason } => format!("cancelled: {}", clean(&reason.message)),
        Event::TaskRecovered { .. } => "its process was lost; it goes on where it was".to_owned(),
        Event::RunDelivering => "everything has landed, the branch is handed over".to_owned(),
        Event::DeliveryAsked {
            allow_integrity_flags: false,
        } => "its delivery is asked for".to_owned(),
        Event::DeliveryAsked {
            allow_integrity_flags: true,
        } => "its delivery is asked for, in spite of integrity flags".to_owned(),
        Event::PushIntended(_) => return None,
        Event::DeliveryMoved(end) => named(&end.step.as_str().replace('_', " "), &clean(&end.said)),
        Event::RunCompleted { commit, checkout } => {
            format!("complete at {}: {}", commit.short(), clean(checkout))
        }
        Event::EffectFailed { effect, reason } => format!("{} failed: {}", clean(effect), clean(&reason.message)),
        Event::RunFailed { reason } => format!("failed: {}", clean(&reason.message)),
        Event::RunExpired => "its trees and outputs are given up".to_owned(),
        Event::RunCancelled => "cancelled".to_owned(),
    })
}

/// `push: up to date`; what begins with the name already has no need of it.
fn named(name: &str, said: &str) -> String {
    match said.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')) {
        true => said.to_owned(),
        false => format!("{name}: {said}"),
    }
}

/// What an event says in the whole log, where [`news`] leaves it to others; `None` where they say all of it.
pub(crate) fn detail(entry: &Entry) -> Option<String> {
    let words = match &entry.event {
        Event::TaskReady => "ready".to_owned(),
        Event::ToolStarted { turn, tool, summary } => {
            format!(
                "turn {turn} · {} {}",
                clean(tool),
                clean(&domain::plan::first_line(summary, DETAIL))
            )
        }
        Event::AttemptEnded {
            attempt,
            end: AttemptEnd::Submitted { .. },
            ..
        } => format!("attempt {attempt} is done"),
        Event::AttemptEnded {
            attempt,
            end: AttemptEnd::Released,
            ..
        } => format!("attempt {attempt} is put down"),
        Event::PushIntended(_) => "pushing".to_owned(),
        _ => return None,
    };
    Some(match &entry.task {
        Some(task) => format!("{task}: {}", words.trim_end()),
        None => words,
    })
}

/// So much of a tool's call is shown.
const DETAIL: usize = 100;

fn attempt_words(attempt: u32, end: &AttemptEnd) -> Option<String> {
    match end {
        AttemptEnd::Submitted { .. } | AttemptEnd::Released => None,
        AttemptEnd::Unchanged => Some(format!("attempt {attempt} changed nothing")),
        // Why, the task's own event said just before.
        AttemptEnd::Failed { .. } => Some(format!("attempt {attempt} failed")),
        AttemptEnd::GaveUp { .. } => Some(format!("attempt {attempt} gave up")),
    }
}

fn move_words(state: MergeState, conflicts: &[String]) -> Option<String> {
    match state {
        MergeState::Resolving => Some(format!(
            "conflict in {}, resolver at work",
            clean(&conflicts.join(", "))
        )),
        MergeState::Verifying => Some("merged, the gate runs".to_owned()),
        MergeState::Queued
        | MergeState::Merging
        | MergeState::Waiting
        | MergeState::Landed
        | MergeState::Rejected
        | MergeState::Error => None,
    }
}

/// `check: cargo test (detected)`, or that there is none.
pub(crate) fn check_words(check: &Check) -> String {
    let source = match check.source {
        CheckSource::Request => "asked for",
        CheckSource::Configuration => "configured",
        CheckSource::Detected => "detected",
        CheckSource::NotConfigured => "",
    };
    match &check.command {
        Some(command) => format!("check: {} ({source})", clean(command)),
        None => "unchecked: there is no check command".to_owned(),
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

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::run::{Reason, ReasonCode};
    use time::OffsetDateTime;

    fn line(task: Option<&str>, event: Event) -> Option<String> {
        news(&Entry {
            seq: 1,
            at: OffsetDateTime::UNIX_EPOCH,
            task: task.map(Into::into),
            event,
        })
    }

    #[test]
    fn a_gate_that_failed_says_how_many_tests() {
        let gate = Event::GateFinished {
            merge: domain::ids::MergeId(1),
            verdict: GateVerdict::Failed,
            passed: Some(2),
            failed: Some(1),
            flaky: vec!["shaky".into()],
            duration_ms: 5,
        };
        assert_eq!(
            line(Some("docs"), gate).unwrap(),
            "docs: gate failed, 1 of 3 tests failed; flaky: shaky"
        );
    }

    #[test]
    fn a_task_that_went_back_says_why() {
        let reason = Reason::new(ReasonCode::Gate, "the gate\nfailed");
        assert_eq!(
            line(Some("docs"), Event::TaskReturned { reason }).unwrap(),
            "docs: goes back: the gate failed"
        );
    }

    #[test]
    fn a_missing_check_is_said_plainly() {
        let check = Check {
            command: None,
            source: CheckSource::NotConfigured,
        };
        assert_eq!(check_words(&check), "unchecked: there is no check command");
    }
}
