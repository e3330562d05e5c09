//! The page of a run: its properties, tasks, merges, cost and newest events.

use super::{frame, runs::progress, words};
use crate::convert;
use api::{TaskStatus, Tone};
use domain::{
    delivery::{DeliveryStep, DeliveryStepEnd},
    gate::GateReport,
    merge::decision_in_words,
    plan::first_line,
    recorded::Recorded,
};
use engine::view::{Cost, CostLine, LoggedEvent, MergeView, RunDetail, TaskView};
use maud::{Markup, html};

/// The page of a run.
pub(crate) fn run(detail: &RunDetail, tasks: &[TaskView], merges: &[MergeView], events: &[LoggedEvent]) -> Markup {
    let run = &detail.summary;
    let content = html! {
        h1 { (first_line(&run.objective, 160)) }
        p {
            (words::run_state(run.state)) " · " (progress(run.tasks)) " · "
            (words::cost(run.spent, run.cap, detail.cost.unpriced_calls)) " · submitted " (words::ago(run.created_at))
        }
        @if run.waiting > 0 {
            p.asks { "! " (run.waiting) @if run.waiting == 1 { " merge waits" } @else { " merges wait" } " for your decision." }
        }
        @if let Some(reason) = &run.reason { p.reason { (reason.message) } }
        (terms(detail))
        @if run.objective.lines().nth(1).is_some() {
            details { summary { "Full objective" } pre { (run.objective) } }
        }
        @if !detail.delivery.steps.is_empty() || detail.delivering.is_some() {
            section { h2 { "Delivery" } (delivery(detail)) }
        }
        @if !detail.integrity_flags.is_empty() {
            section { h2 { "Integrity flags" } (super::flags::of_run(detail)) }
        }
        section { h2 { "Tasks" } (task_table(tasks)) }
        @if tasks.iter().any(|task| !task.returned.is_empty()) {
            section { h2 { "Sent back" } (returned_table(tasks)) }
        }
        section { h2 { "Merges" } (merge_table(merges)) }
        section { h2 { "Cost" } (cost_table(&detail.cost)) }
        section { h2 { "Events" } (log(events)) }
        section { h2 { "Next" } pre { (next_commands(detail)) } }
    };
    let live = format!("/runs/{}/events?after={}", run.id, detail.last_event);
    let live = (!run.state.is_final()).then_some(live);
    frame(&format!("Run {}", run.id.short()), live.as_deref(), content)
}

fn terms(detail: &RunDetail) -> Markup {
    let run = &detail.summary;
    html! {
        dl {
            dt { "Run" } dd { code { (run.id) } }
            dt { "Workspace" } dd { code { (run.workspace) } }
            dt { "Branch" } dd { code { (run.branch) }
                @if let Some(commit) = &detail.delivered { " at " code { (commit.short()) } }
                @if let Some(checkout) = &detail.checkout { " · " (checkout) } }
            @if let Some(base) = &detail.base {
                dt { "Base" } dd { code { (base.short()) } @if let Some(branch) = &detail.base_branch { " (" (branch) ")" } }
            }
            @if let Some(check) = &detail.check {
                dt { "Check" } dd {
                    @match &check.command {
                        Some(command) => { code { (command) } }
                        None => { "none: merges land unchecked" }
                    }
                }
            }
            @if let Some(at) = detail.expired_at {
                dt { "Expired" } dd { "trees and outputs were deleted on " (at.date()) " (retention); a delivered branch is still in the repository" }
            }
            dt { "Models" } dd { "director " (detail.director.0) "/" (detail.director.1) ", workers " (detail.worker.0) "/" (detail.worker.1) }
        }
    }
}

/// The steps of the delivery, and whether it is in progress.
fn delivery(detail: &RunDetail) -> Markup {
    html! {
        @if !detail.delivery.steps.is_empty() {
            div.scroll { table {
                thead { tr { th { "Step" } th { "Result" } th { "Details" } } }
                tbody { @for end in &detail.delivery.steps { tr {
                    td { (end.step.as_str().replace('_', " ")) }
                    td { (end.result.as_str()) }
                    td.wide { (end.said) @if let Some(url) = link(end) { " " a href=(url) rel="noreferrer" { "open" } } }
                } } }
            } }
        }
        @if let Some(delivering) = &detail.delivering {
            p.quiet {
                @if delivering.again_at.is_some() { "Waiting for a retry" } @else { "In progress" }
                @if delivering.tries > 1 { ", try " (delivering.tries) } "."
            }
        }
    }
}

/// A URL that a browser may open.
fn link(end: &DeliveryStepEnd) -> Option<&str> {
    let is_web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    end.url.as_deref().filter(is_web)
}

fn task_table(tasks: &[TaskView]) -> Markup {
    html! {
        @if tasks.is_empty() { p.quiet { "No plan yet." } } @else {
            div.scroll { table {
                thead { tr {
                    th { "Task" } th { "Profile" } th { "Status" } th.number { "Attempts" } th.number { "Turns" }
                    th.number { "Cost" } th.number { "Time" }
                } }
                tbody { @for task in tasks { tr {
                    td title=(task.title) { code { (task.key) } }
                    td { (task.profile) }
                    td.wide { (status(task)) }
                    td.number { (task.attempts) }
                    td.number { (task.turns) }
                    td.number { (words::cost(task.cost, None, task.unpriced_calls)) }
                    td.number { @if let Some(ms) = task.duration_ms { (words::duration(ms)) } }
                } } }
            } }
        }
    }
}

/// The attempts that did not land.
fn returned_table(tasks: &[TaskView]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Task" } th.number { "Attempt" } th { "Why" } } }
            tbody { @for task in tasks { @for returned in &task.returned { tr {
                td title=(task.title) { code { (task.key) } }
                td.number { (returned.attempt) }
                td.wide {
                    (first_line(&returned.reason.message, 400))
                    @if let Some(merge) = returned.merge { " " a href={ "/merges/" (merge) } { "merge " (merge) } }
                }
            } } } }
        } }
    }
}

/// What a task is doing, waiting for or came to; where a person decides, a link to the merge.
fn status(task: &TaskView) -> Markup {
    let status = convert::task_status(task);
    let text = words::status(&status);
    match (&status, status.tone()) {
        (TaskStatus::Merging { merge: Some(merge) }, Tone::NeedsYou) => {
            html! { a href={ "/merges/" (merge.id) } { (text) } }
        }
        _ => text,
    }
}

fn merge_table(merges: &[MergeView]) -> Markup {
    html! {
        @if merges.is_empty() { p.quiet { "No merges yet." } } @else {
            div.scroll { table {
                thead { tr { th { "Task" } th { "State" } th { "Method" } th { "Conflicts" } th { "Gate" } th.number { "In queue" } th.number { "Merge time" } } }
                tbody { @for merge in merges { tr {
                    td { code { (merge.task) } }
                    td.wide { a href={ "/merges/" (merge.id) } { (words::merge_state(merge.state)) } @if let Some(reason) = &merge.reason { ": " (first_line(&reason.message, 200)) } }
                    td { @if let Some(method) = &merge.method { (method) } }
                    td.wide { @for decision in merge.resolutions.iter().filter(|decision| !decision.earlier) {
                        div { code { (decision.path) } " " (decision_in_words(&decision.layer, &decision.result))
                            @if let Some(model) = &decision.model { " " (model) }
                            @if let Some(cost) = decision.cost { ", " (cost) }
                            ": " (decision.reason) }
                    } }
                    td { (gate(merge.gate.as_ref())) (super::flags::count(merge.integrity_flags.len())) }
                    td.number { @if let Some(ms) = merge.wait_ms { (words::duration(ms)) } }
                    td.number { @if let Some(ms) = merge.merge_ms { (words::duration(ms)) } }
                } } }
            } }
        }
    }
}

fn gate(gate: Option<&Recorded<GateReport>>) -> String {
    match gate {
        None => String::new(),
        Some(Recorded::Unreadable { unreadable }) => unreadable.clone(),
        Some(Recorded::Read(report)) if report.flaky.is_empty() => report.verdict.in_words().to_owned(),
        Some(Recorded::Read(report)) => {
            let flaky: Vec<&str> = report.flaky.iter().map(String::as_str).collect();
            format!("{}; flaky: {}", report.verdict.in_words(), flaky.join(", "))
        }
    }
}

fn cost_table(cost: &Cost) -> Markup {
    html! {
        @if cost.calls == 0 { p.quiet { "No model calls yet." } } @else {
            (cost_lines("Role", &cost.by_role))
            (cost_lines("Model", &cost.by_model))
            @if cost.lost.0 > 0 {
                p.quiet { "Up to " (cost.lost) " more for answers that were lost in a crash." }
            }
        }
    }
}

/// The cost by role or by model.
fn cost_lines(by: &str, lines: &[CostLine]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { (by) } th.number { "Calls" } th.number { "Input tokens" } th.number { "Output tokens" } th.number { "Cost" } } }
            tbody { @for line in lines { tr {
                td { (line.name) }
                td.number { (line.calls) }
                td.number { (line.tokens.input) }
                td.number { (line.tokens.output) }
                td.number { (words::cost(line.spent, None, line.unpriced_calls)) }
            } } }
        } }
    }
}

fn log(events: &[LoggedEvent]) -> Markup {
    html! {
        ol.log reversed { @for event in events.iter().rev() {
            li value=(event.seq) {
                (words::ago(event.at)) " "
                @if let Some(task) = &event.task { code { (task) } " " }
                (first_line(&words_of(event), 200))
            }
        } }
    }
}

/// The event in one line; the kind where this version does not know it.
fn words_of(event: &LoggedEvent) -> String {
    match serde_json::from_value(event.data.clone()) {
        Ok(known) => api::event_text(&known),
        Err(_) => event.kind.replace('_', " "),
    }
}

fn next_commands(detail: &RunDetail) -> String {
    let run = &detail.summary;
    let short = run.id.short();
    if !run.state.is_final() {
        return format!("orchestrator follow {short}\norchestrator cancel {short}");
    }
    match &detail.delivered {
        Some(_) if !detail.integrity_flags.is_empty() && !detail.allow_integrity_flags => format!(
            "orchestrator diff {short}\norchestrator deliver {short} --allow-integrity-flags\norchestrator show {short}"
        ),
        // The commits, and not the branches: these move on, and the difference would be empty after a merge.
        Some(commit) => {
            let git = format!("git -C {}", super::words::quoted(&run.workspace));
            let merged = detail
                .delivery
                .steps
                .iter()
                .any(|end| end.step == DeliveryStep::Checkout && end.result.is_good());
            let base = detail.base.as_ref().map(|base| base.0.as_str());
            let diff = base.map_or(String::new(), |base| {
                format!("\n{git} diff {} {}", cut(base), cut(&commit.0))
            });
            let merge = match merged {
                true => String::new(),
                false => format!("\n{git} merge {}", run.branch),
            };
            format!("orchestrator show {short}{diff}{merge}")
        }
        None => format!("orchestrator show {short}"),
    }
}

/// An abbreviated commit id.
fn cut(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
