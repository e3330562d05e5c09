//! An event as one plain line.

use super::{
    board::{Entry, Gate},
    phrases::{attempt_ended, check_words, count, gate_words, merge_progressed},
    words::{clean, elapsed},
};
use crate::invocation::Invocation;
use domain::{
    event::Event,
    merge::{MergeEnd, decision_in_words},
};
use std::time::Duration;

/// How much of a tool's call is shown.
const SUMMARY: usize = 100;

/// The words of an event, and who sees them.
pub(super) enum Line {
    /// Everybody who follows the run.
    News(String),
    /// Only readers of the whole log: another event says it better.
    LogOnly(String),
}

/// The line of an event while a run is followed, without its time; `None` for events that another one says better.
pub(crate) fn news(entry: &Entry, invocation: &Invocation) -> Option<String> {
    match line(&entry.event, invocation) {
        Line::News(words) => Some(with_task(entry, &words)),
        Line::LogOnly(_) => None,
    }
}

/// The line of an event in the whole log.
pub(crate) fn log_line(entry: &Entry, invocation: &Invocation) -> String {
    match line(&entry.event, invocation) {
        Line::News(words) | Line::LogOnly(words) => with_task(entry, words.trim_end()),
    }
}

fn with_task(entry: &Entry, words: &str) -> String {
    match &entry.task {
        Some(task) => format!("{task}: {words}"),
        None => words.to_owned(),
    }
}

fn line(event: &Event, invocation: &Invocation) -> Line {
    let text = |text: &str| invocation.in_text(&clean(text));
    Line::News(match event {
        Event::RunSubmitted { objective } => format!("submitted: {}", clean(objective)),
        Event::WorkspacePrepared {
            base,
            base_branch,
            check,
        } => {
            let (base, branch) = (base.short(), clean(base_branch));
            format!("hub ready at {base} ({branch}), {}", check_words(check))
        }
        Event::PlanRequested { round, problems } if *round > 1 => {
            let problems = clean(&problems.join("; "));
            format!("the director corrects its plan, round {round}: {problems}")
        }
        Event::PlanRequested { .. } => "the director plans".to_owned(),
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
            let (tasks, levels) = (count(*tasks, "task"), count(*levels, "level"));
            format!("plan v{version}: {tasks}, {levels}{repairs}")
        }
        Event::TaskReady => return Line::LogOnly("ready".to_owned()),
        Event::TaskClaimed { attempt, .. } => format!("attempt {attempt} starts"),
        Event::TurnAnswered { turn, tools, cost, .. } => {
            let tools = match tools.len() {
                0 => "answers".to_owned(),
                _ => clean(&tools.join(", ")),
            };
            let cost = cost.map_or(String::new(), |cost| format!("  {cost}"));
            format!("turn {turn} · {tools}{cost}")
        }
        Event::ToolStarted { turn, tool, summary } => {
            let call = tool_words(tool, &domain::plan::first_line(summary, SUMMARY));
            return Line::LogOnly(format!("turn {turn} · starts {call}"));
        }
        Event::ModelRetried { why, wait_ms } => model_retried(why, *wait_ms),
        Event::TaskBlocked { on: Some(on) } => format!("waits for {}", clean(on)),
        Event::TaskBlocked { on: None } => "continues: what it waited for is back".to_owned(),
        Event::AttemptEnded { attempt, end, .. } => return attempt_ended(*attempt, end),
        Event::MergeQueued { commit } => format!("work {} is in the merge queue", commit.short()),
        Event::MergeProgressed { state, conflicts, .. } => return merge_progressed(*state, conflicts),
        Event::ConflictDecided {
            path,
            layer,
            result,
            reason,
            ..
        } => {
            let decided = decision_in_words(&clean(layer), &clean(result));
            named(&format!("conflict in {} {decided}", clean(path)), &text(reason))
        }
        Event::IntegrityFlagged { flag, .. } => {
            format!("! integrity flag: {}: {}", clean(&flag.title()), text(&flag.detail))
        }
        Event::MergeWaiting { merge, conflicts, why } => {
            let about = match conflicts.is_empty() {
                true => text(why),
                false => format!("conflict in {}", clean(&conflicts.join(", "))),
            };
            let show = invocation.command(&["merges", "show", &merge.to_string()]);
            format!("! waits for you: {about} · {show}")
        }
        Event::MergeDecided { paths, by, .. } => {
            let what = match paths.is_empty() {
                true => "sent it through the layers again".to_owned(),
                false => format!("decided {}", clean(&paths.join(", "))),
            };
            format!("{} {what}; it is in the merge queue again", clean(by))
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
        Event::LandingIntended { commit, .. } => return Line::LogOnly(format!("landing {}", commit.short())),
        // Where the work landed, or why it went back, the task's own event says.
        Event::MergeEnded { end, .. } => match end {
            MergeEnd::Landed { .. } => return Line::LogOnly("the branch has moved".to_owned()),
            MergeEnd::Rejected { .. } => return Line::LogOnly("the merge is rejected".to_owned()),
            MergeEnd::Error { reason } => format!("merge failed: {}", text(&reason.message)),
        },
        Event::TaskCompleted { commit: Some(commit) } => format!("landed {}", commit.short()),
        Event::TaskCompleted { commit: None } => "complete, nothing had to change".to_owned(),
        Event::TaskReturned { reason } => format!("goes back: {}", text(&reason.message)),
        Event::TaskFailed { reason } => format!("failed: {}", text(&reason.message)),
        Event::TaskCancelled { reason } => format!("cancelled: {}", text(&reason.message)),
        Event::TaskRecovered { .. } => "its process was lost; it continues where it was".to_owned(),
        Event::RunDelivering => "everything has landed; delivering the branch".to_owned(),
        Event::DeliveryRequested {
            allow_integrity_flags: false,
        } => "delivery requested".to_owned(),
        Event::DeliveryRequested {
            allow_integrity_flags: true,
        } => "delivery requested, in spite of integrity flags".to_owned(),
        Event::PushIntended(intent) => {
            let (branch, address) = (clean(&intent.branch), clean(&intent.address));
            return Line::LogOnly(format!("pushing branch {branch} to {address}"));
        }
        Event::DeliveryStepEnded(end) => named(&end.step.as_str().replace('_', " "), &text(&end.said)),
        // What happened to the checkout, its own step said just before.
        Event::RunCompleted { commit, .. } => format!("complete at {}", commit.short()),
        Event::EffectFailed { effect, reason } => {
            format!("{} failed: {}", clean(effect), text(&reason.message))
        }
        Event::RunFailed { reason } => format!("failed: {}", text(&reason.message)),
        Event::RunExpired => "its trees and outputs are deleted (retention)".to_owned(),
        Event::RunCancelled => "cancelled".to_owned(),
    })
}

/// `push: up to date`; the name is left out where the text begins with it, and alone where there is no text.
fn named(name: &str, said: &str) -> String {
    let has_name = said.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    match (said.is_empty(), has_name) {
        (true, _) => name.to_owned(),
        (false, true) => said.to_owned(),
        (false, false) => format!("{name}: {said}"),
    }
}

/// `shell cargo test`; the summary often begins with the tool's name itself.
pub(super) fn tool_words(tool: &str, summary: &str) -> String {
    let (tool, summary) = (clean(tool), clean(summary));
    match (summary.is_empty(), summary.starts_with(&tool)) {
        (true, _) => tool,
        (false, true) => summary,
        (false, false) => format!("{tool} {summary}"),
    }
}

/// What a task waits for between two tries of a model call.
pub(super) fn model_wait(why: &str, wait_ms: u64) -> String {
    let why = clean(why).replace('_', " ");
    let wait = elapsed(Duration::from_millis(wait_ms));
    format!("the model ({why}; next try in {wait})")
}

/// The same as a sentence.
pub(super) fn model_retried(why: &str, wait_ms: u64) -> String {
    let why = clean(why).replace('_', " ");
    format!(
        "model call failed ({why}); next try in {}",
        elapsed(Duration::from_millis(wait_ms))
    )
}

#[cfg(test)]
mod tests;
