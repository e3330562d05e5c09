//! Merges as text.

use super::super::next::checkout_directory;
use crate::{invocation::Invocation, progress::clean};
use api::{ConflictFile, ConflictVersion, MergeDetail, MergeSummary};
use domain::{merge::MergeState, recorded::Recorded};
use std::{path::Path, time::Duration};
use time::OffsetDateTime;

pub(super) fn list(merges: &[MergeSummary], all: bool, invocation: &Invocation) -> Vec<String> {
    if merges.is_empty() {
        return vec![match all {
            true => "no merges yet".to_owned(),
            false => format!(
                "nothing waits for you; all merges: {}",
                invocation.command(&["merges", "--all"])
            ),
        }];
    }
    let now = OffsetDateTime::now_utc();
    let mut lines: Vec<String> = merges
        .iter()
        .map(|merge| {
            let since = merge.waiting_since.unwrap_or(merge.queued_at);
            let age = api::duration_text(Duration::try_from(now - since).unwrap_or_default());
            let about = match (merge.conflicts.is_empty(), &merge.reason) {
                (false, _) => format!("conflict in {}", clean(&merge.conflicts.join(", "))),
                (true, Some(reason)) => clean(&reason.message),
                (true, None) => String::new(),
            };
            let state = state(merge.state);
            let line = format!(
                "{:>5}  {state:<13} run {}  {}  {age:>6} ago  {about}",
                merge.id, merge.run_short, merge.task
            );
            line.trim_end().to_owned()
        })
        .collect();
    if let Some(first) = merges.iter().find(|merge| merge.state == MergeState::Waiting) {
        lines.extend([
            String::new(),
            format!(
                "next: {}",
                invocation.command(&["merges", "show", &first.id.to_string()])
            ),
        ]);
    }
    lines
}

pub(super) fn detail(detail: &MergeDetail, invocation: &Invocation) -> Vec<String> {
    let merge = &detail.merge;
    let mut lines = vec![format!(
        "merge {} of {} in run {}: {}",
        merge.id,
        merge.task,
        detail.run_short,
        state(merge.state)
    )];
    lines.extend(
        merge
            .reason
            .iter()
            .map(|reason| format!("  {}", invocation.in_text(&clean(&reason.message)))),
    );
    lines.extend(merge.integrity_flags.iter().map(|flag| {
        let path = flag
            .path
            .as_deref()
            .map_or(String::new(), |path| format!(" {}", clean(path)));
        format!("  ! integrity flag: {}{path}: {}", flag.kind, clean(&flag.detail))
    }));
    let output = merge.gate.as_ref().and_then(|gate| match gate {
        Recorded::Read(report) => report.failed_output(),
        Recorded::Unreadable { unreadable } => Some(unreadable),
    });
    if let Some(output) = output {
        lines.extend(["".to_owned(), "gate output:".to_owned()]);
        lines.extend(output.lines().map(|line| format!("  {}", clean_line(line))));
    }
    lines.extend(
        detail
            .unavailable_reason
            .iter()
            .map(|gone| format!("  {}", clean(gone))),
    );
    for file in &detail.files {
        lines.extend(conflict(file));
    }
    if !merge.resolutions.is_empty() {
        lines.extend(["".to_owned(), "decisions:".to_owned()]);
        lines.extend(merge.resolutions.iter().map(|row| {
            let hunk = if row.hunk > 0 {
                format!(" hunk {}", row.hunk)
            } else {
                String::new()
            };
            let (path, reason) = (clean(&row.path), clean(&row.reason));
            let before = if row.superseded { "before: " } else { "" };
            format!("  {path}{hunk}: {before}{} {}: {reason}", row.layer, row.result)
        }));
    }
    lines.extend(["".to_owned(), "next:".to_owned()]);
    lines.extend(next(detail, invocation).iter().map(|command| format!("  {command}")));
    lines
}

pub(super) fn checked_out(
    detail: &MergeDetail,
    directory: &Path,
    written: &[String],
    invocation: &Invocation,
) -> Vec<String> {
    let mut lines: Vec<String> = written
        .iter()
        .map(|path| clean(&directory.join(path).display().to_string()))
        .collect();
    let others = detail.files.iter().filter(|file| !written.contains(&file.path));
    lines.extend(others.map(|file| format!("not text; take a side: {}", clean(&file.path))));
    let id = detail.merge.id.to_string();
    let directory = directory.display().to_string();
    let resolve = invocation.command(&["merges", "resolve", &id, "--from", &directory]);
    lines.extend([
        "".to_owned(),
        format!("edit what is between the markers, then: {resolve}"),
    ]);
    lines
}

fn conflict(file: &ConflictFile) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("{} ({})", clean(&file.path), file.kind.replace('_', "/")),
    ];
    for hunk in &file.hunks {
        lines.push(format!("  line {}", hunk.line));
        for (name, text) in [("ours", &hunk.ours), ("base", &hunk.base), ("theirs", &hunk.theirs)] {
            lines.push(format!("  {name}:"));
            lines.extend(text.lines().map(|line| format!("    {}", clean_line(line))));
        }
    }
    if file.hunks.is_empty() {
        for (name, version) in [("base", &file.base), ("ours", &file.ours), ("theirs", &file.theirs)] {
            lines.push(format!("  {name}: {}", version_words(version)));
        }
    }
    let answer = file.answer.iter().zip(&file.answered_by);
    lines.extend(answer.map(|(answer, by)| format!("  {} decided before: {}", clean(by), answer.decision)));
    lines
}

fn version_words(version: &Option<ConflictVersion>) -> String {
    match version {
        Some(version) => format!(
            "mode {}, {}",
            version.mode,
            version.blob.chars().take(8).collect::<String>()
        ),
        None => "does not exist".to_owned(),
    }
}

/// A line of a file, with its indentation.
fn clean_line(line: &str) -> String {
    let spaces: String = line.chars().take_while(|letter| matches!(letter, ' ' | '\t')).collect();
    format!("{spaces}{}", clean(line))
}

fn next(detail: &MergeDetail, invocation: &Invocation) -> Vec<String> {
    match detail.merge.state {
        MergeState::Waiting => answers(detail, invocation),
        MergeState::Queued | MergeState::Merging | MergeState::Resolving | MergeState::Verifying => {
            vec![invocation.command(&["follow", &detail.run_short])]
        }
        MergeState::Landed | MergeState::Rejected | MergeState::Error => {
            vec![invocation.command(&["show", &detail.run_short])]
        }
    }
}

/// How a person can answer a merge that waits.
fn answers(detail: &MergeDetail, invocation: &Invocation) -> Vec<String> {
    let id = detail.merge.id.to_string();
    let mut answers = Vec::new();
    if detail.files.iter().any(|file| file.text_with_markers.is_some()) {
        answers.push(invocation.command(&["merges", "checkout", &id, &checkout_directory(&id)]));
    }
    if let Some(file) = detail.files.first() {
        let mut words = vec!["merges", "resolve", &id, "--ours", &file.path];
        words.extend(detail.merge.tip.iter().flat_map(|tip| ["--tip", tip.as_str()]));
        answers.push(invocation.command(&words));
    }
    answers.push(invocation.command(&["merges", "return", &id, "--note", "NOTE"]));
    answers.push(invocation.command(&["merges", "reject", &id, "--reason", "REASON"]));
    answers
}

fn state(state: MergeState) -> &'static str {
    match state {
        MergeState::Waiting => "waits for you",
        other => other.as_str(),
    }
}
