//! The report as text.

use super::{Conflict, Decision, MergeReport, Report, TaskReport};
use crate::{
    invocation::Invocation,
    progress::{clean, padded, shortened, width, wrapped},
};
use api::{Amount, CostLine, ReturnedAttempt};
use domain::{NanoDollars, delivery::DeliveryStep as Step, merge::decision_in_words, run::RunState, task::TaskState};
use std::time::Duration;

/// A text of the server's as it can be shown, with commands as they are typed here.
type Said<'a> = &'a dyn Fn(&str) -> String;

/// Names of facts stand in a column of their own.
const LABEL: usize = 10;

/// The report and the next commands.
pub(crate) fn lines(report: &Report, next: &[String], invocation: &Invocation, columns: usize) -> Vec<String> {
    let said = |text: &str| invocation.in_text(&clean(text));
    let mut lines = vec![String::new(), headline(report)];
    lines.extend(fact("objective", &clean(&report.objective), columns));
    if let Some(reason) = &report.reason {
        lines.extend(fact("reason", &said(&reason.message), columns));
    }
    lines.extend(fact("landed", &landed(report), columns));
    lines.extend(fact("branch", &branch(report), columns));
    lines.extend(delivered(report, &said, columns));
    lines.extend(fact("gate", &gate(report), columns));
    lines.extend(section("Integrity flags", flags(report, &said, columns)));
    lines.extend(section("Tasks", tasks(report, columns)));
    lines.extend(section(
        "Conflicts",
        report.conflicted().flat_map(|merge| conflict(merge, columns)).collect(),
    ));
    lines.extend(section(
        "Waits for you",
        report
            .waiting()
            .flat_map(|merge| waiting(merge, &said, columns))
            .collect(),
    ));
    lines.extend(section(
        "Sent back",
        report
            .returned()
            .flat_map(|(task, attempt, merge)| returned(task, attempt, merge, &said, columns))
            .collect(),
    ));
    lines.extend(section("Cost", cost(report)));
    lines.extend(section(
        "Next",
        next.iter().map(|command| format!("  {command}")).collect(),
    ));
    lines
}

fn headline(report: &Report) -> String {
    let time = report
        .duration_ms
        .map(|ms| format!(" in {}", api::duration_text(milliseconds(ms))))
        .unwrap_or_default();
    let words = match report.state {
        RunState::Complete => "is complete",
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
        RunState::Planning | RunState::Running | RunState::Delivering => "is under way",
    };
    let unchecked = if report.gate.unchecked > 0 { ", unchecked" } else { "" };
    let flags = match report.integrity_flags.len() {
        0 => String::new(),
        many => format!(", {}", plural(many, "integrity flag")),
    };
    format!("Run {} {words}{time}{unchecked}{flags}", report.short)
}

fn landed(report: &Report) -> String {
    let complete = report
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Complete)
        .count();
    let commits = report.tasks.iter().filter(|task| task.landed_commit.is_some()).count();
    let changes = report.changes.map_or(String::new(), |changes| {
        format!(
            " · {}, {} added, {} removed",
            plural(changes.files as usize, "file"),
            plural(changes.insertions as usize, "line"),
            changes.deletions
        )
    });
    format!(
        "{complete} of {} · {}{changes}",
        plural(report.tasks.len(), "task"),
        plural(commits, "commit")
    )
}

fn branch(report: &Report) -> String {
    let ends = match (&report.base, &report.commit) {
        (Some(base), Some(commit)) => format!(", {} → {}", short(base), short(commit)),
        (Some(base), None) => format!(" from {}, not delivered", short(base)),
        (None, _) => ", not delivered".to_owned(),
    };
    format!("{}{ends}, in {}", report.branch, clean(&report.repository))
}

/// The steps of the delivery but the branch, which has a line of its own unless it could not be made.
fn delivered(report: &Report, said: Said<'_>, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let steps = &report.delivery.steps;
    if let Some(checkout) = report
        .checkout
        .as_deref()
        .filter(|_| steps.iter().all(|step| step.step != Step::Checkout))
    {
        lines.extend(fact("checkout", &said(checkout), columns));
    }
    let reason = report.reason.as_ref().map_or("", |reason| reason.message.as_str());
    for step in steps
        .iter()
        .filter(|step| step.step != Step::Branch || step.result.is_bad())
    {
        let name = match step.step {
            Step::PullRequest => "request",
            Step::Branch | Step::Checkout | Step::Push => step.step.as_str(),
        };
        let text = match (reason.contains(&step.message), step.step) {
            // The reason above says the rest.
            (true, _) => step.result.as_str().to_owned(),
            (false, Step::Checkout) => said(&step.message),
            (false, Step::Branch | Step::Push | Step::PullRequest) => {
                format!("{}: {}", step.result.as_str(), said(&step.message))
            }
        };
        lines.extend(fact(name, &text, columns));
    }
    if report.delivery.in_progress {
        let again = if report.delivery.retry_at.is_some() {
            "waits for the next try"
        } else {
            "in progress"
        };
        lines.extend(fact("delivery", again, columns));
    }
    if let Some(at) = report.expired_at {
        let gone = format!("its trees and outputs were deleted on {} (retention)", at.date());
        lines.extend(fact("expired", &gone, columns));
    }
    lines
}

fn gate(report: &Report) -> String {
    let Some(check) = &report.check else {
        return "the workspace was not prepared".to_owned();
    };
    let Some(command) = &check.command else {
        return "unchecked: there is no check command; name one with --check or in the configuration".to_owned();
    };
    let source = api::check_source(check.source);
    let sums = &report.gate;
    let mut results = vec![format!("passed {}", times(sums.passed))];
    if sums.failed > 0 {
        results.push(format!("failed {}", times(sums.failed)));
    }
    if sums.could_not_run > 0 {
        results.push(format!("could not run {}", times(sums.could_not_run)));
    }
    let tests = sums.tests.map_or(String::new(), |tests| {
        format!("; {} on the last tree", plural(tests as usize, "test"))
    });
    let flaky = match sums.flaky.len() {
        0 => String::new(),
        _ => format!(
            "; flaky: {}",
            Vec::from_iter(sums.flaky.iter().map(String::as_str)).join(", ")
        ),
    };
    format!("{} ({source}): {}{tests}{flaky}", clean(command), results.join(", "))
}

/// Integrity flags, each with the file and the task.
fn flags(report: &Report, said: Said<'_>, columns: usize) -> Vec<String> {
    let words = report.integrity_flags.iter().flat_map(|flag| {
        let path = flag
            .path
            .as_deref()
            .map_or(String::new(), |path| format!(" {}", clean(path)));
        let text = format!("! {}{path} ({}): {}", flag.kind, flag.task, said(&flag.detail));
        wrapped(&text, columns.saturating_sub(2).max(30))
    });
    words.map(|line| format!("  {line}")).collect()
}

fn tasks(report: &Report, columns: usize) -> Vec<String> {
    let widest = |text: fn(&TaskReport) -> &str| report.tasks.iter().map(|task| width(text(task))).max().unwrap_or(0);
    let (keys, profiles) = (widest(|task| &task.key), widest(|task| &task.profile));
    let line = |task: &TaskReport| {
        let mark = match task.state {
            TaskState::Complete => "✓",
            TaskState::Failed => "✗",
            TaskState::Cancelled => "–",
            TaskState::Planned | TaskState::Ready | TaskState::Active | TaskState::Merging => "○",
        };
        let end = match (&task.landed_commit, &task.standing, &task.reason) {
            (Some(commit), ..) => format!("landed {}", short(commit)),
            (None, Some(standing), _) => format!("{}: {}", task.state, clean(standing)),
            (None, None, Some(reason)) => format!("{}: {}", task.state, clean(&reason.message)),
            (None, None, None) => task.state.to_string(),
        };
        let time = task
            .duration_ms
            .map(|ms| api::duration_text(milliseconds(ms)))
            .unwrap_or_default();
        let left = format!(
            "  {mark} {}  {}  {end}",
            padded(&task.key, keys),
            padded(&task.profile, profiles)
        );
        let right = format!(
            "{:>10} {:>9} {:>8} {time:>6}",
            plural(task.attempts.max(0) as usize, "attempt"),
            plural(task.turns.max(0) as usize, "turn"),
            dollars(task.cost_dollars),
        );
        let room = columns.saturating_sub(width(&right) + 1).max(30);
        format!("{} {right}", padded(&shortened(&left, room), room))
    };
    report.tasks.iter().map(line).collect()
}

fn conflict(merge: &MergeReport, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for conflict in &merge.conflicts {
        lines.push(format!(
            "  {} met {} in {}",
            merge.task,
            words(&conflict.kind),
            blobs(conflict)
        ));
        let decisions = merge
            .resolutions
            .iter()
            .filter(|decision| !decision.earlier && decision.path == conflict.path);
        lines.extend(decisions.flat_map(|decision| decided(decision, columns)));
    }
    lines
}

fn blobs(conflict: &Conflict) -> String {
    let side = |name: &str, blob: &Option<String>| format!("{name} {}", blob.as_deref().map_or("none", short));
    let sides = [
        side("base", &conflict.base),
        side("ours", &conflict.ours),
        side("theirs", &conflict.theirs),
    ]
    .join("  ");
    format!("{}   {sides}", clean(&conflict.path))
}

fn decided(decision: &Decision, columns: usize) -> Vec<String> {
    let hunk = if decision.hunk == 0 {
        String::new()
    } else {
        format!("hunk {} ", decision.hunk)
    };
    let asked = [decision.model.clone(), decision.cost_dollars.map(dollars)];
    let asked: Vec<String> = asked.into_iter().flatten().collect();
    let asked = match asked.is_empty() {
        true => String::new(),
        false => format!(" ({})", asked.join(", ")),
    };
    let text = format!(
        "{hunk}{}{asked}: {}",
        decision_in_words(&decision.layer, &decision.result),
        clean(&decision.reason)
    );
    indented(&text, 4, columns)
}

/// A merge that waits for a person, and why.
fn waiting(merge: &MergeReport, said: Said<'_>, columns: usize) -> Vec<String> {
    let reason = merge.reason.as_ref();
    let why = reason.map_or_else(|| merge.state.to_string(), |reason| said(&reason.message));
    let mut lines = indented(&format!("{}, attempt {}: {why}", merge.task, merge.attempt), 2, columns);
    lines.extend(gate_output(merge, columns));
    lines
}

/// An attempt that did not land, and why.
fn returned(
    task: &TaskReport,
    attempt: &ReturnedAttempt,
    merge: Option<&MergeReport>,
    said: Said<'_>,
    columns: usize,
) -> Vec<String> {
    let why = said(&attempt.reason.message);
    let mut lines = indented(&format!("{}, attempt {}: {why}", task.key, attempt.attempt), 2, columns);
    lines.extend(merge.into_iter().flat_map(|merge| gate_output(merge, columns)));
    lines
}

/// The end of what the gate printed, where it did not pass.
fn gate_output(merge: &MergeReport, columns: usize) -> Vec<String> {
    let printed = merge.gate.iter().flat_map(|gate| &gate.output_end);
    printed
        .map(|line| shortened(&format!("    | {line}"), columns))
        .collect()
}

fn cost(report: &Report) -> Vec<String> {
    let cap = report
        .cost
        .max_cost
        .map_or(String::new(), |cap| format!(" of {}", amount(cap)));
    let mut lines = vec![format!(
        "  spent {}{cap} in {}",
        amount(report.cost.spent),
        plural(report.cost.calls.max(0) as usize, "call")
    )];
    let by_role = report.cost.by_role.iter().map(|line| (clean(&line.name), line));
    let by_model = report
        .cost
        .by_model
        .iter()
        .map(|line| (format!("model {}", clean(&line.name)), line));
    let all: Vec<(String, &CostLine)> = by_role.chain(by_model).collect();
    let names = all.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    lines.extend(all.into_iter().map(|(name, line)| {
        let cached = if line.tokens.cached > 0 {
            format!("   {} cached", line.tokens.cached)
        } else {
            String::new()
        };
        let unpriced = if line.unpriced_calls > 0 {
            format!("   {} unpriced", line.unpriced_calls)
        } else {
            String::new()
        };
        format!(
            "  {}  {:>9}  {:>10}  {:>8} tokens in  {:>7} out{cached}{unpriced}",
            padded(&name, names),
            amount(line.spent),
            plural(line.calls.max(0) as usize, "call"),
            line.tokens.input,
            line.tokens.output,
        )
    }));
    lines
}

fn section(title: &str, body: Vec<String>) -> Vec<String> {
    if body.is_empty() {
        return body;
    }
    [String::new(), title.to_owned()].into_iter().chain(body).collect()
}

fn fact(name: &str, text: &str, columns: usize) -> Vec<String> {
    let lines = wrapped(text, columns.saturating_sub(LABEL + 2).max(30));
    let label = |at: usize| if at == 0 { name } else { "" };
    lines
        .into_iter()
        .enumerate()
        .map(|(at, line)| format!("  {:<LABEL$}{line}", label(at)))
        .collect()
}

fn indented(text: &str, by: usize, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(by + 2).max(30);
    let lines = wrapped(text, room).into_iter().enumerate();
    lines
        .map(|(at, line)| format!("{}{line}", " ".repeat(if at == 0 { by } else { by + 2 })))
        .collect()
}

/// `a conflict (add/add)`, as git names its kinds.
fn words(kind: &str) -> String {
    format!("a conflict ({})", kind.replace('_', "/"))
}

fn plural(number: usize, noun: &str) -> String {
    api::count(number as u64, noun)
}

fn times(number: usize) -> String {
    if number == 1 {
        "once".to_owned()
    } else {
        format!("{number} times")
    }
}

fn short(id: &str) -> &str {
    id.get(..7).unwrap_or(id)
}

fn amount(amount: Amount) -> String {
    NanoDollars(amount.nanodollars).to_string()
}

fn dollars(dollars: f64) -> String {
    NanoDollars::from_dollars(dollars).unwrap_or_default().to_string()
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests;
