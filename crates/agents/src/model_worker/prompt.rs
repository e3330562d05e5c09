//! The prompt of a worker: a constant part for each profile, then the task.

use crate::{
    profile::Profile,
    text::{head_and_tail, listed, quoted},
    tools::WritePolicy,
    worker::{Feedback, HandOff, WorkOrder},
};
use domain::plan::Acceptance;

/// The rules for every worker.
const RULES: &str = include_str!("../../prompts/worker.md");

/// Bytes shown of a gate's output or of a conflict.
const OUTPUT_BYTES: usize = 6_000;
/// Bytes shown of another worker's report.
const REPORT_BYTES: usize = 3_000;
/// Paths shown of one list.
const PATHS: usize = 30;

/// The constant part: the same bytes for every worker of a profile.
pub(super) fn system(profile: &Profile) -> String {
    format!("# role: worker ({})\n\n{RULES}\n{}\n", profile.name, profile.prompt)
}

/// The task, what must hold, the boundaries, the facts, the limits: in this order, for earlier text weighs more.
pub(super) fn user(order: &WorkOrder) -> String {
    let mut lines = vec![
        format!("task: {}", order.task),
        format!("attempt: {}", order.attempt),
        format!("run: {}", order.run),
        format!("\n## Task\n{}\n", order.title),
        order.instructions.trim().to_owned(),
    ];
    lines.extend(acceptance(order));
    lines.extend(boundaries(order));
    lines.extend(facts(order));
    lines.extend(environment(order));
    lines.join("\n")
}

fn acceptance(order: &WorkOrder) -> Vec<String> {
    let mut lines = vec!["\n## Done when".to_owned()];
    lines.extend(order.acceptance.iter().map(criterion));
    if let Some(check) = &order.check {
        let before = match check.fails_before {
            true => "; it fails on the tree as it is now",
            false => "",
        };
        lines.push(format!("- The task's own check passes: `{}`{before}", check.command));
    }
    lines.push(match &order.gate.command {
        Some(command) => format!(
            "- The check command passes on the tree after your work is merged: `{command}`. The program runs it; run it \
             yourself first."
        ),
        None => "- There is no check command for the whole tree: show by running it that what you made works."
            .to_owned(),
    });
    lines
}

fn criterion(acceptance: &Acceptance) -> String {
    let how = match acceptance.check.as_str() {
        "" | "judged" => "judged".to_owned(),
        command => format!("`{command}`"),
    };
    format!("- {}: {} ({how})", acceptance.id, acceptance.text)
}

fn boundaries(order: &WorkOrder) -> Vec<String> {
    let mut lines = vec![
        "\n## Boundaries".to_owned(),
        "The whole objective, of which this task is one part; the rest is done by others:".to_owned(),
        quoted(&order.objective),
    ];
    let paths = &order.paths;
    for (meaning, list) in [
        ("Yours alone", &paths.owns),
        ("Made by you", &paths.creates),
        ("Shared with other tasks, so touch only your own lines", &paths.shared),
    ] {
        if !list.is_empty() {
            lines.push(format!("{meaning}: {}", listed(list, PATHS)));
        }
    }
    match &order.profile.write {
        WritePolicy::All => {}
        policy @ (WritePolicy::ReadOnly | WritePolicy::Only(_)) => {
            lines.push(format!("You may write: {policy}"));
        }
    }
    for interface in &order.interfaces {
        let whose = match interface.provider == order.task {
            true => "You provide".to_owned(),
            false => format!("You build on, from task {},", interface.provider),
        };
        let place = match interface.path.as_str() {
            "" => String::new(),
            path => format!(" ({path})"),
        };
        lines.push(format!("{whose} the interface `{}`{place}:", interface.id));
        lines.push(quoted(&interface.contract));
    }
    lines
}

fn facts(order: &WorkOrder) -> Vec<String> {
    let mut lines = vec![
        "\n## Facts".to_owned(),
        format!("The tree starts from commit {}.", order.base.short()),
    ];
    lines.extend(order.hand_offs.iter().flat_map(hand_off));
    if let Some(feedback) = &order.feedback {
        lines.extend(previous_attempt(feedback));
    }
    if !order.conflicted.is_empty() {
        lines.push(format!(
            "These files hold conflict markers, your work against what has landed since: {}. Keep what both sides meant \
             and remove every marker.",
            listed(&order.conflicted, PATHS)
        ));
    }
    lines
}

fn hand_off(hand_off: &HandOff) -> Vec<String> {
    let commit = match &hand_off.commit {
        Some(commit) => format!("landed as {}", commit.short()),
        None => "nothing had to change".to_owned(),
    };
    let paths = match hand_off.paths.as_slice() {
        [] => String::new(),
        paths => format!("; it changed {}", listed(paths, PATHS)),
    };
    let mut lines = vec![format!(
        "Task {} ({}) is complete, {commit}{paths}. Its worker reported:",
        hand_off.key, hand_off.title
    )];
    lines.push(quoted(&head_and_tail(&hand_off.summary, REPORT_BYTES)));
    lines
}

fn previous_attempt(feedback: &Feedback) -> Vec<String> {
    let mut lines = vec![
        format!("Attempt {} was not enough:", feedback.attempt),
        quoted(&feedback.reason),
    ];
    if !feedback.output.trim().is_empty() {
        lines.push("What was shown then:".to_owned());
        lines.push(quoted(&head_and_tail(&feedback.output, OUTPUT_BYTES)));
    }
    lines.push("Find out what in the work caused that before you change anything.".to_owned());
    lines
}

fn environment(order: &WorkOrder) -> Vec<String> {
    let turns = order
        .profile
        .turns
        .map_or(order.limits.turns, |own| own.min(order.limits.turns));
    vec![
        "\n## Limits".to_owned(),
        format!(
            "{turns} turns, {} minutes in all, {} seconds for one command.",
            order.limits.attempt_s / 60,
            order.limits.tool_s
        ),
    ]
}
