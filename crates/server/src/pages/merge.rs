//! The page of a merge: what met where, who tried what, and, where it waits for a person, the forms to answer with.
//! Everything works without JavaScript.

use super::{frame, words};
use api::{ConflictFile, ConflictVersion, MergeDetail, PathAnswer, Problem, Resolution};
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

/// The page of a merge. `problem` is what was wrong with a form, and `typed` what it held.
pub(crate) fn merge(
    detail: &MergeDetail,
    last_event: i64,
    problem: Option<&Problem>,
    typed: &BTreeMap<String, PathAnswer>,
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
        @if let Some(gone) = &detail.gone { p.quiet { (gone) "." } }
        @if !merge.integrity_flags.is_empty() {
            section { h2 { "Integrity flags" } (super::flags::of_merge(&merge.integrity_flags)) }
        }
        @if let Some(output) = merge.gate.as_ref().and_then(failed_output) {
            section { h2 { "Gate output" } pre { (output) } }
        }
        @if waits { (question(detail, typed)) } @else { @for file in &detail.files { (conflict(file, detail)) } }
        @if detail.files.is_empty() && !merge.resolutions.is_empty() { section { h2 { "Decisions" } (tried(&merge.resolutions)) } }
        @if !detail.messages.is_empty() {
            details { summary { "What git said" } pre { (detail.messages.join("\n")) } }
        }
        section { h2 { "Next" } pre { (next_commands(detail)) } }
    };
    let live = format!("/runs/{}/events?after={last_event}", detail.run);
    let live = (merge.ended_at.is_none() && !waits).then_some(live);
    frame(&format!("Merge {}", merge.id), live.as_deref(), content)
}

/// The page of merges in a state, or in any.
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
            p.quiet { @if state == Some(MergeState::Waiting) { "Nothing waits for you." } @else { "There are none." } }
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
            dt { "Work (theirs)" } dd { code { (commit(&merge.commit)) } }
            @if let Some(tip) = &merge.tip { dt { "Branch (ours)" } dd { code { (commit(tip)) } } }
            @if let Some(merged) = &merge.merged_commit { dt { "Merge commit" } dd { code { (commit(merged)) } } }
            @if let Some(how) = &merge.how { dt { "Merged by" } dd { (how) } }
            @if let Some(ms) = merge.merge_ms { dt { "Merging" } dd { (words::short_duration(ms)) ", answers of models included, the queue and the gate not" } }
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

/// Everything that can be answered: path by path, or with the work as a whole.
fn question(detail: &MergeDetail, typed: &BTreeMap<String, PathAnswer>) -> Markup {
    let address = format!("/merges/{}", detail.merge.id);
    html! {
        @if !detail.files.is_empty() {
            form method="post" action={ (address) "/resolution" } {
                @if let Some(tip) = &detail.merge.tip { input type="hidden" name="tip" value=(tip); }
                @for (number, file) in detail.files.iter().enumerate() {
                    (conflict(file, detail))
                    (choices(file, number, typed.get(&file.path).or(file.answer.as_ref())))
                }
                p { button { "Decide" } " The merge goes back into the queue, and the gate judges the result." }
            }
        } @else {
            p { "This conflict is about directories and can't be decided path by path." }
        }
        section.others {
            form method="post" action={ (address) "/return" } {
                h2 { "Send it back" }
                label { "What its worker is to know" textarea name="note" rows="3" required {} }
                p { button { "Send back" } " One more try, which counts as no failure." }
            }
            form method="post" action={ (address) "/reject" } {
                h2 { "Give it up" }
                label { "Why" textarea name="reason" rows="3" required {} }
                p { button.grave { "Give up" } " The task fails, and what depends on it is not done." }
            }
        }
    }
}

fn choices(file: &ConflictFile, number: usize, answer: Option<&PathAnswer>) -> Markup {
    // With the text chosen from the start, nothing that is typed is lost for want of a click.
    let unanswered = if file.marked.is_some() { "content" } else { "layers" };
    let chosen = answer.map_or(unanswered, |answer| answer.decision.as_str());
    let own = answer.and_then(|answer| answer.content.as_deref());
    let text = own.or(file.marked.as_deref());
    let side = |version: &Option<ConflictVersion>, kept: &'static str| match version {
        Some(_) => kept,
        None => "delete it, as that side did",
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
            legend { "What becomes of " code { (file.path) } }
            input type="hidden" name={ "path." (number) } value=(file.path);
            (option("ours", &format!("ours: {}", side(&file.ours, "the branch's version"))))
            (option("theirs", &format!("theirs: {}", side(&file.theirs, "the work's version"))))
            (option("delete", "delete it"))
            @if let Some(text) = text {
                @if text.contains("\r\n") { input type="hidden" name={ "line_end." (number) } value="crlf"; }
                (option("content", "this text:"))
                // A line break right after the tag is not part of the text.
                textarea.text name={ "content." (number) } rows=(text.lines().count().clamp(6, 30)) spellcheck="false"
                    aria-label={ "The text of " (file.path) } { "\n" (text) }
            }
            (option("layers", "leave it to the layers once more"))
            @if let Some(by) = &file.answered_by { p.quiet { "Decided before by " (by) "." } }
        }
    }
}

/// Base, ours, theirs and the result side by side, for each hunk or for the file as a whole.
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
                    (side("Theirs (the work)", Some(&hunk.theirs)))
                    (side("Result", standing(&rows)))
                }
                (decisions(&rows))
            }
            @let whole = about(0);
            @if file.hunks.is_empty() {
                div.sides {
                    (version("Base", &file.base))
                    (version("Ours (the branch)", &file.ours))
                    (version("Theirs (the work)", &file.theirs))
                    (side("Result", standing(&whole)))
                }
            }
            (decisions(&whole))
        }
    }
}

/// The text that stands by now. What an earlier time through the layers made of it is history.
fn standing<'a>(rows: &[&'a Resolution]) -> Option<&'a str> {
    let standing = rows.iter().rev().filter(|row| !row.earlier);
    standing.filter_map(|row| row.text.as_deref()).next()
}

fn side(name: &str, text: Option<&str>) -> Markup {
    html! {
        div {
            h4 { (name) }
            @match text {
                Some("") => p.quiet { "nothing" },
                Some(text) => pre tabindex="0" aria-label=(name) { (text) },
                None => p.quiet { "open" },
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

/// Who decided, or did not, and why.
fn decisions(rows: &[&Resolution]) -> Markup {
    html! { @for row in rows { p { (decision(row)) } } }
}

fn tried(rows: &[Resolution]) -> Markup {
    html! { @for row in rows { p { code { (row.path) } " " (decision(row)) } } }
}

/// The layer, what it made of it, why, and what asking cost.
fn decision(row: &Resolution) -> Markup {
    let cost = row.cost_nanodollars.map(|cost| NanoDollars(cost).to_string());
    html! {
        @if row.earlier { span.quiet { "before: " } }
        b { (decision_in_words(&row.layer, &row.result)) } ": " (row.reason)
        @if let Some(model) = &row.model {
            span.quiet { " " (model) @if let Some(cost) = cost { ", " (cost) } }
        }
    }
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "content" => "both sides changed the same lines",
        "add_add" => "both sides added it",
        "modify_delete" => "one side changed what the other deleted",
        "rename_rename" => "both sides renamed it",
        "binary" => "it is not text",
        "symlink" => "a symbolic link is involved",
        "submodule" => "a submodule is involved",
        _ => "a file meets a directory, or a renamed directory is unclear",
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
