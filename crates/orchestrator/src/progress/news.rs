//! A fact as one plain line.

use super::{
    board::{Entry, Gate},
    words::clean,
};
use domain::{
    event::Fact,
    merge::{GateVerdict, MergeEnd, MergeState, decision_in_words},
    run::{Check, CheckSource},
    task::AttemptEnd,
};

/// What a fact says to people, without its time; `None` for facts that another one says better.
pub(crate) fn news(entry: &Entry) -> Option<String> {
    let words = words(&entry.fact)?;
    Some(match &entry.task {
        Some(task) => format!("{task}: {words}"),
        None => words,
    })
}

fn words(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::RunSubmitted { objective } => format!("submitted: {}", clean(objective)),
        Fact::WorkspacePrepared {
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
        Fact::PlanAsked { round, problems } if *round > 1 => {
            format!(
                "the director mends its plan, round {round}: {}",
                clean(&problems.join("; "))
            )
        }
        Fact::PlanAsked { .. } => "the director plans".to_owned(),
        Fact::PlanSaved {
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
        Fact::TaskReady | Fact::ToolStarted { .. } | Fact::LandingIntended { .. } => return None,
        Fact::TaskClaimed { attempt, .. } => format!("attempt {attempt} starts"),
        Fact::TurnAnswered { turn, tools, cost, .. } => {
            let tools = match tools.len() {
                0 => "answers".to_owned(),
                _ => clean(&tools.join(", ")),
            };
            let cost = cost.map_or(String::new(), |cost| format!("  {cost}"));
            format!("turn {turn} · {tools}{cost}")
        }
        Fact::ModelRetried { why, wait_ms } => {
            format!("the model makes it wait {wait_ms} ms: {}", clean(why))
        }
        Fact::TaskBlocked { on: Some(on) } => format!("waiting for {}", clean(on)),
        Fact::TaskBlocked { on: None } => "what it waited for is back".to_owned(),
        Fact::AttemptEnded { attempt, end, .. } => return attempt_words(*attempt, end),
        Fact::MergeQueued { commit } => format!("work {} waits to be merged", commit.short()),
        Fact::MergeMoved { state, conflicts, .. } => return move_words(*state, conflicts),
        Fact::ConflictDecided {
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
        Fact::IntegrityFlagged { flag, .. } => {
            format!("! integrity flag: {}: {}", clean(&flag.title()), clean(&flag.detail))
        }
        Fact::MergeWaits { merge, conflicts, why } => {
            let about = match conflicts.is_empty() {
                true => clean(why),
                false => format!("conflict in {}", clean(&conflicts.join(", "))),
            };
            format!("! waits for you: {about} · orchestrator merges show {merge}")
        }
        Fact::MergeAnswered { paths, by, .. } => {
            let what = match paths.is_empty() {
                true => "left it to the layers once more".to_owned(),
                false => format!("decided {}", clean(&paths.join(", "))),
            };
            format!("{} {what}; it is in the queue again", clean(by))
        }
        Fact::GateFinished {
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
        // The task's own fact says where its work landed or why it went back.
        Fact::MergeEnded {
            end: MergeEnd::Landed { .. } | MergeEnd::Rejected { .. },
            ..
        } => return None,
        Fact::MergeEnded {
            end: MergeEnd::Error { reason },
            ..
        } => format!("merge failed: {}", clean(&reason.message)),
        Fact::TaskCompleted { commit: Some(commit) } => format!("landed {}", commit.short()),
        Fact::TaskCompleted { commit: None } => "complete, nothing had to change".to_owned(),
        Fact::TaskReturned { reason } => format!("goes back: {}", clean(&reason.message)),
        Fact::TaskFailed { reason } => format!("failed: {}", clean(&reason.message)),
        Fact::TaskCancelled { reason } => format!("cancelled: {}", clean(&reason.message)),
        Fact::TaskRecovered { .. } => "its process was lost; it goes on where it was".to_owned(),
        Fact::RunDelivering => "everything has landed, the branch is handed over".to_owned(),
        Fact::DeliveryAsked {
            allow_integrity_flags: false,
        } => "its delivery is asked for".to_owned(),
        Fact::DeliveryAsked {
            allow_integrity_flags: true,
        } => "its delivery is asked for, in spite of integrity flags".to_owned(),
        Fact::PushIntended(_) => return None,
        Fact::DeliveryMoved(end) => named(&end.step.as_str().replace('_', " "), &clean(&end.said)),
        Fact::RunCompleted { commit, checkout } => {
            format!("complete at {}: {}", commit.short(), clean(checkout))
        }
        Fact::RunFailed { reason } => format!("failed: {}", clean(&reason.message)),
        Fact::RunExpired => "its trees and outputs are given up".to_owned(),
        Fact::RunCancelled => "cancelled".to_owned(),
    })
}

/// `push: up to date`; what begins with the name already has no need of it.
fn named(name: &str, said: &str) -> String {
    match said.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')) {
        true => said.to_owned(),
        false => format!("{name}: {said}"),
    }
}

/// What a fact says in the whole log, where [`news`] leaves it to others; `None` where they say all of it.
pub(crate) fn detail(entry: &Entry) -> Option<String> {
    let words = match &entry.fact {
        Fact::TaskReady => "ready".to_owned(),
        Fact::ToolStarted { turn, tool, summary } => {
            format!(
                "turn {turn} · {} {}",
                clean(tool),
                clean(&domain::plan::first_line(summary, DETAIL))
            )
        }
        Fact::AttemptEnded {
            attempt,
            end: AttemptEnd::Submitted { .. },
            ..
        } => format!("attempt {attempt} is done"),
        Fact::AttemptEnded {
            attempt,
            end: AttemptEnd::Released,
            ..
        } => format!("attempt {attempt} is put down"),
        Fact::PushIntended(_) => "pushing".to_owned(),
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
        // Why, the task's own fact said just before.
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

    fn line(task: Option<&str>, fact: Fact) -> Option<String> {
        news(&Entry {
            seq: 1,
            at: OffsetDateTime::UNIX_EPOCH,
            task: task.map(Into::into),
            fact,
        })
    }

    #[test]
    fn a_gate_that_failed_says_how_many_tests() {
        let gate = Fact::GateFinished {
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
            line(Some("docs"), Fact::TaskReturned { reason }).unwrap(),
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
