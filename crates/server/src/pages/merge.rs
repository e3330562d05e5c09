//! The page of a merge: its conflicts, the decisions about them, and forms if it waits for a person.

use super::{frame, words};
use api::{ConflictFile, ConflictVersion, MergeDetail, PathDecision, Problem, Resolution};
use domain::{
    NanoDollars,
    gate::GateReport,
    merge::{MergeState, decision_in_words},
    plan::first_line,
    recorded::Recorded,
};
use engine::view::MergeLine;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The page of a merge. `problem` is the error of a submitted form, and `typed` are its values.
pub(crate) fn merge(
    detail: &MergeDetail,
    last_event: i64,
    problem: Option<&Problem>,
    typed: &BTreeMap<String, PathDecision>,
) -> Markup {
    let merge = &detail.merge;
    let waits = merge.state == MergeState::Waiting;
    let content = html! {
        h1 { "Merge " (merge.id) ": " code { (merge.task) } }
        p {
            (words::merge_state(merge.state)) " · attempt " (merge.attempt) " · "
            a href={ "/runs/" (detail.run) } { "run " (detail.run_short) } " · queued " (words::ago(merge.queued_at))
        }
        @if let Some(problem) = problem {
            div.notice role="alert" {
                p.reason { (problem.detail) }
                @if let Some(hint) = &problem.hint { p { (hint) } }
            }
        }
        @if let Some(reason) = &merge.reason {
            @if waits { p.asks { (reason.message) } } @else { p.reason { (reason.message) } }
        }
        (terms(detail))
        @if let Some(gone) = &detail.unavailable_reason { p.quiet { (gone) "." } }
        @if !merge.integrity_flags.is_empty() {
            section { h2 { "Integrity flags" } (super::flags::of_merge(&merge.integrity_flags)) }
        }
        @if let Some(output) = merge.gate.as_ref().and_then(failed_output) {
            section { h2 { "Gate output" } pre { (output) } }
        }
        @if waits { (question(detail, typed)) } @else { @for file in &detail.files { (conflict(file, detail)) } }
        @if detail.files.is_empty() && !merge.resolutions.is_empty() { section { h2 { "Decisions" } (tried(&merge.resolutions)) } }
        @if !detail.git_messages.is_empty() {
            details { summary { "Messages of git" } pre { (detail.git_messages.join("\n")) } }
        }
        section { h2 { "Next" } pre { (next_commands(detail)) } }
    };
    let live = format!("/runs/{}/events?after={last_event}", detail.run);
    let live = (merge.ended_at.is_none() && !waits).then_some(live);
    frame(&format!("Merge {}", merge.id), live.as_deref(), content)
}

/// The page of merges, optionally only those in a state.
pub(crate) fn merges(merges: &[MergeLine], state: Option<MergeState>) -> Markup {
    let content = html! {
        h1 { "Merges" }
        nav.filter aria-label="Filter by state" {
            a href="/merges" aria-current=[state.is_none().then_some("true")] { "all" }
            @for other in MergeState::ALL {
                a href={ "/merges?state=" (other.as_str()) } aria-current=[(state == Some(other)).then_some("true")] {
                    (other.as_str())
                }
            }
        }
        @if merges.is_empty() {
            p.quiet { @if state == Some(MergeState::Waiting) { "No merge waits for you." } @else { "No merges." } }
        } @else {
            div.scroll { table {
                thead { tr { th { "Merge" } th { "State" } th { "Run" } th { "Task" } th { "Conflicts" } th { "Why" } th.number { "Queued" } } }
                tbody { @for line in merges { tr {
                    td { a href={ "/merges/" (line.id) } { (line.id) } }
                    td { (words::merge_state(line.state)) }
                    td { a href={ "/runs/" (line.run) } { code { (line.run.short()) } } }
                    td { code { (line.task) } }
                    td.wide { (line.conflicts.join(", ")) }
                    td.wide { @if let Some(reason) = &line.reason { (first_line(&reason.message, 200)) } }
                    td.number { (words::ago(line.queued_at)) }
                } } }
            } }
        }
    };
    frame("Merges", None, content)
}

fn terms(detail: &MergeDetail) -> Markup {
    let merge = &detail.merge;
    let commit = |commit: &str| commit.chars().take(8).collect::<String>();
    html! {
        dl {
            dt { "Task (theirs)" } dd { code { (commit(&merge.commit)) } }
            @if let Some(tip) = &merge.tip { dt { "Branch (ours)" } dd { code { (commit(tip)) } } }
            @if let Some(merged) = &merge.merge_commit { dt { "Merge commit" } dd { code { (commit(merged)) } } }
            @if let Some(method) = &merge.method { dt { "Method" } dd { (method) } }
            @if let Some(ms) = merge.merge_ms { dt { "Merge time" } dd { (words::duration(ms)) " with model calls, without queue and gate" } }
        }
    }
}

/// The output of a gate that did not pass, or why its report can't be shown.
fn failed_output(gate: &Recorded<GateReport>) -> Option<&str> {
    match gate {
        Recorded::Read(report) => report.failed_output(),
        Recorded::Unreadable { unreadable } => Some(unreadable),
    }
}

/// The forms: decide path by path, return the work, or reject it.
fn question(detail: &MergeDetail, typed: &BTreeMap<String, PathDecision>) -> Markup {
    let address = format!("/merges/{}", detail.merge.id);
    html! {
        @if !detail.files.is_empty() {
            form method="post" action={ (address) "/resolution" } {
                @if let Some(tip) = &detail.merge.tip { input type="hidden" name="tip" value=(tip); }
                @for (number, file) in detail.files.iter().enumerate() {
                    (conflict(file, detail))
                    (choices(file, number, typed.get(&file.path).or(file.answer.as_ref())))
                }
                p { button { "Decide" } " The merge returns to the queue, and the gate checks the result." }
            }
        } @else {
            p { "This conflict is about directories and can't be decided here." }
        }
        section.others {
            form method="post" action={ (address) "/return" } {
                h2 { "Return to the worker" }
                label { "Note for the worker" textarea name="note" rows="3" required {} }
                p { button { "Return" } " The worker tries again. This does not count as a failure." }
            }
            form method="post" action={ (address) "/reject" } {
                h2 { "Reject the work" }
                label { "Reason" textarea name="reason" rows="3" required {} }
                p { button.grave { "Reject" } " The task fails, and tasks that depend on it are cancelled." }
            }
        }
    }
}

fn choices(file: &ConflictFile, number: usize, answer: Option<&PathDecision>) -> Markup {
    // Preselects the text, so that nothing typed is lost.
    let unanswered = if file.text_with_markers.is_some() {
        "content"
    } else {
        "layers"
    };
    let chosen = answer.map_or(unanswered, |answer| answer.decision.as_str());
    let own = answer.and_then(|answer| answer.content.as_deref());
    let text = own.or(file.text_with_markers.as_deref());
    let side = |version: &Option<ConflictVersion>, kept: &'static str| match version {
        Some(_) => kept,
        None => "delete the file, as that side did",
    };
    let option = |value: &'static str, words: &str| {
        html! {
            label.choice {
                input type="radio" name={ "decision." (number) } value=(value) checked[chosen == value];
                " " (words)
            }
        }
    };
    html! {
        fieldset {
            legend { "Decision for " code { (file.path) } }
            input type="hidden" name={ "path." (number) } value=(file.path);
            (option("ours", &format!("ours: {}", side(&file.ours, "the branch's version"))))
            (option("theirs", &format!("theirs: {}", side(&file.theirs, "the task's version"))))
            (option("delete", "delete the file"))
            @if let Some(text) = text {
                @if text.contains("\r\n") { input type="hidden" name={ "line_end." (number) } value="crlf"; }
                (option("content", "this text:"))
                // A line break right after the tag is not part of the text.
                textarea.text name={ "content." (number) } rows=(text.lines().count().clamp(6, 30)) spellcheck="false"
                    aria-label={ "The text of " (file.path) } { "\n" (text) }
            }
            (option("layers", "let the layers try again"))
            @if let Some(by) = &file.answered_by { p.quiet { "Earlier decision by " (by) "." } }
        }
    }
}

/// Base, ours, theirs and result side by side, for each hunk or for the whole file.
fn conflict(file: &ConflictFile, detail: &MergeDetail) -> Markup {
    let about = |hunk: i32| -> Vec<&Resolution> {
        let rows = detail.merge.resolutions.iter();
        rows.filter(|row| row.path == file.path && row.hunk == hunk).collect()
    };
    html! {
        section.conflict {
            h2 { code { (file.path) } " " span.quiet { (in_words(&file.kind)) } }
            @for (index, hunk) in file.hunks.iter().enumerate() {
                @let rows = about(index as i32 + 1);
                h3 { "Line " (hunk.line) }
                div.sides {
                    (side("Base", Some(&hunk.base)))
                    (side("Ours (the branch)", Some(&hunk.ours)))
                    (side("Theirs (the task)", Some(&hunk.theirs)))
                    (side("Result", standing(&rows)))
                }
                (decisions(&rows))
            }
            @let whole = about(0);
            @if file.hunks.is_empty() {
                div.sides {
                    (version("Base", &file.base))
                    (version("Ours (the branch)", &file.ours))
                    (version("Theirs (the task)", &file.theirs))
                    (side("Result", standing(&whole)))
                }
            }
            (decisions(&whole))
        }
    }
}

/// The current result; superseded decisions don't count.
fn standing<'a>(rows: &[&'a Resolution]) -> Option<&'a str> {
    let standing = rows.iter().rev().filter(|row| !row.superseded);
    standing.filter_map(|row| row.text.as_deref()).next()
}

fn side(name: &str, text: Option<&str>) -> Markup {
    html! {
        div {
            h4 { (name) }
            @match text {
                Some("") => p.quiet { "empty" },
                Some(text) => pre tabindex="0" aria-label=(name) { (text) },
                None => p.quiet { "not decided" },
            }
        }
    }
}

fn version(name: &str, version: &Option<ConflictVersion>) -> Markup {
    match version {
        Some(ConflictVersion { text: Some(text), .. }) => side(name, Some(text)),
        Some(version) => html! {
            div { h4 { (name) } p.quiet { "not shown: mode " (version.mode) ", " code { (version.blob) } } }
        },
        None => html! { div { h4 { (name) } p.quiet { "does not exist" } } },
    }
}

/// The decisions, with their reasons.
fn decisions(rows: &[&Resolution]) -> Markup {
    html! { @for row in rows { p { (decision(row)) } } }
}

fn tried(rows: &[Resolution]) -> Markup {
    html! { @for row in rows { p { code { (row.path) } " " (decision(row)) } } }
}

/// A decision: the layer, its result, reason, model and cost.
fn decision(row: &Resolution) -> Markup {
    let cost = row.cost_nanodollars.map(|cost| NanoDollars(cost).to_string());
    html! {
        @if row.superseded { span.quiet { "superseded: " } }
        b { (decision_in_words(&row.layer, &row.result)) } ": " (row.reason)
        @if let Some(model) = &row.model {
            span.quiet { " " (model) @if let Some(cost) = cost { ", " (cost) } }
        }
    }
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "content" => "both sides changed the same lines",
        "add_add" => "both sides added the file",
        "modify_delete" => "one side changed the file and the other deleted it",
        "rename_rename" => "both sides renamed the file",
        "binary" => "the file is binary",
        "symlink" => "a symbolic link is involved",
        "submodule" => "a submodule is involved",
        _ => "a file and a directory conflict, or a directory rename is ambiguous",
    }
}

fn next_commands(detail: &MergeDetail) -> String {
    let (id, run) = (detail.merge.id, &detail.run_short);
    match detail.merge.state {
        MergeState::Waiting => format!(
            "orchestrator merges checkout {id} DIR\norchestrator merges resolve {id} --from DIR\n\
             orchestrator merges return {id} --note \"…\""
        ),
        MergeState::Queued | MergeState::Merging | MergeState::Resolving | MergeState::Verifying => {
            format!("orchestrator follow {run}")
        }
        MergeState::Landed | MergeState::Rejected | MergeState::Error => format!("orchestrator show {run}"),
    }
}
