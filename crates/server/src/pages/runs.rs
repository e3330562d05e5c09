//! The page of runs: one row for each run, with filters in the URL.

use super::{frame, words};
use domain::{plan::first_line, run::RunState};
use engine::view::{RunPage, RunSummary, TaskCounts};
use maud::{Markup, html};

/// The page of runs, optionally only those in a state.
pub(crate) fn runs(page: &RunPage, state: Option<RunState>) -> Markup {
    let content = html! {
        h1 { "Runs" }
        nav.filter aria-label="Filter by state" {
            a href="/" aria-current=[state.is_none().then_some("true")] { "all" }
            @for other in RunState::ALL {
                a href={ "/?state=" (other.as_str()) } aria-current=[(state == Some(other)).then_some("true")] {
                    (other.as_str())
                }
            }
        }
        @if page.runs.is_empty() { (nothing(state)) } @else { (table(&page.runs)) }
        @if let Some(next) = page.next {
            p { a href={ "/?before=" (next) @if let Some(state) = state { "&state=" (state.as_str()) } } { "older runs" } }
        }
    };
    frame("Runs", None, content)
}

fn nothing(state: Option<RunState>) -> Markup {
    html! {
        @if let Some(state) = state {
            p { "No run is " (state.as_str()) "." }
        } @else {
            p { "No runs yet. Start one:" }
            pre { "orchestrator run \"your objective\" --workspace PATH" }
        }
    }
}

fn table(runs: &[RunSummary]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Run" } th { "State" } th { "Objective" } th { "Tasks" } th.number { "Cost" } th.number { "Submitted" }
            } }
            tbody { @for run in runs { tr {
                td { a href={ "/runs/" (run.id) } { code { (run.id.short()) } } }
                td { (words::run_state(run.state)) }
                td.wide { (first_line(&run.objective, 120)) }
                td {
                    (progress(run.tasks))
                    @if run.waiting > 0 { " " a.asks href="/merges?state=waiting" { "! " (run.waiting) @if run.waiting == 1 { " waits for you" } @else { " wait for you" } } }
                }
                td.number { (words::cost(run.spent, run.cap, 0)) }
                td.number { (words::ago(run.created_at)) }
            } } }
        } }
    }
}

/// `4 of 6`, and the numbers of active, merging and failed tasks.
pub(super) fn progress(tasks: TaskCounts) -> Markup {
    let total = tasks.total();
    html! {
        @if total == 0 {
            span.quiet { "no plan yet" }
        } @else {
            progress max=(total) value=(tasks.complete) {}
            " " (tasks.complete) " of " (total) " complete"
            @if tasks.active > 0 { ", " (tasks.active) " active" }
            @if tasks.merging > 0 { ", " (tasks.merging) " merging" }
            @if tasks.failed > 0 { ", " (tasks.failed) " failed" }
        }
    }
}
