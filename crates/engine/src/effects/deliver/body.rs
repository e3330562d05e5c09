//! The text of a pull request: objective, tasks, gate, cost.

use super::{Delivering, Failure};
use domain::{CommitId, merge::MergeState, plan::first_line, recorded::Recorded};
use std::fmt::Write;
use store::view::{MergeView, RunDetail, TaskView};

/// Forges accept at most about this many characters.
const LENGTH: usize = 60_000;
/// Characters of the objective.
const OBJECTIVE: usize = 8_000;
/// The most integrity flags that are listed.
const FLAGS: usize = 50;
/// Characters of a title.
const TITLE: usize = 200;

pub(super) async fn text(delivering: &Delivering<'_>) -> Result<String, Failure> {
    let views = &delivering.context.views;
    let run = delivering.details.id;
    let gone = || Failure::Overtaken(format!("run {run} is gone"));
    let detail = views.run(run).await?.ok_or_else(gone)?;
    let (tasks, merges) = (views.tasks(run).await?, views.merges(run).await?);
    let text = written(&detail, &tasks, &merges, &delivering.commit);
    Ok(telemetry::secrets::redact(&text).chars().take(LENGTH).collect())
}

fn written(detail: &RunDetail, tasks: &[TaskView], merges: &[MergeView], commit: &CommitId) -> String {
    let objective: String = detail.summary.objective.chars().take(OBJECTIVE).collect();
    let mut text = String::from("**Asked**\n\n");
    for line in objective.lines() {
        add(&mut text, format_args!("> {line}\n"));
    }
    text.push_str("\n**Tasks**\n\n");
    for task in tasks {
        let landed = task.landed.as_ref().map_or("nothing had to change", CommitId::short);
        let (key, title) = (&task.key, first_line(&task.title, TITLE));
        add(&mut text, format_args!("- `{key}` {title} ({landed})\n"));
    }
    text.push_str("\n**Checks**\n\n");
    match detail.check.as_ref().and_then(|check| check.command.as_ref()) {
        Some(command) => add(
            &mut text,
            format_args!("`{}`\n\n", first_line(command, TITLE).replace('`', "'")),
        ),
        None => text.push_str("No check command is configured: the merges landed unchecked.\n\n"),
    }
    for merge in merges.iter().filter(|merge| merge.state == MergeState::Landed) {
        add(&mut text, format_args!("- `{}`: {}\n", merge.task, gate(merge)));
    }
    text.push_str(&flags(detail));
    let short = detail.summary.id.short();
    let (calls, spent) = (detail.cost.calls, detail.cost.spent);
    add(
        &mut text,
        format_args!("\nRun `{short}`, commit {commit}, {spent} in {calls} calls to models.\n"),
    );
    text
}

/// What a reviewer should look at first.
fn flags(detail: &RunDetail) -> String {
    let mut text = String::new();
    if detail.integrity_flags.is_empty() {
        return text;
    }
    text.push_str("\n**Integrity flags**\n\nLook at these first: they weaken the check, or run by themselves.\n\n");
    for view in detail.integrity_flags.iter().take(FLAGS) {
        let path = view.flag.path.as_deref().map_or(String::new(), |path| {
            format!(" `{}`", first_line(path, TITLE).replace('`', "'"))
        });
        let said = first_line(&view.flag.detail, 2 * TITLE);
        add(
            &mut text,
            format_args!("- {}{path} (`{}`): {said}\n", view.flag.kind, view.task),
        );
    }
    let more = detail.integrity_flags.len().saturating_sub(FLAGS);
    if more > 0 {
        add(&mut text, format_args!("- and {more} more\n"));
    }
    text
}

fn gate(merge: &MergeView) -> String {
    match &merge.gate {
        None => "no check was recorded".to_owned(),
        Some(Recorded::Unreadable { unreadable }) => unreadable.clone(),
        Some(Recorded::Read(report)) => {
            let tests = report
                .passed
                .map_or(String::new(), |passed| format!(", {passed} tests passed"));
            format!("{}{tests}", report.verdict.in_words())
        }
    }
}

fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    text.write_fmt(arguments).unwrap_or_default();
}
