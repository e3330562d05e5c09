//! An event as one plain line.

use super::{board::Entry, words::clean};
use crate::invocation::Invocation;
use api::{duration_text, event_text};
use domain::{event::Event, merge::MergeEnd, merge::MergeState, task::AttemptEnd};
use std::time::Duration;

/// The line of an event while a run is followed, without its time; `None` for events that another one says better.
pub(crate) fn news(entry: &Entry, invocation: &Invocation) -> Option<String> {
    is_news(&entry.event).then(|| log_line(entry, invocation))
}

/// The line of an event in the whole log.
pub(crate) fn log_line(entry: &Entry, invocation: &Invocation) -> String {
    let text = invocation.in_text(&clean(&event_text(&entry.event)));
    let text = match &entry.event {
        Event::IntegrityFlagged { .. } => format!("! {text}"),
        Event::MergeWaiting { merge, .. } => {
            let show = invocation.command(&["merges", "show", &merge.to_string()]);
            format!("! {text} · {show}")
        }
        _ => text,
    };
    match &entry.task {
        Some(task) => format!("{task}: {text}"),
        None => text,
    }
}

/// Whether everybody who follows the run sees the event; the others are for readers of the whole log.
fn is_news(event: &Event) -> bool {
    match event {
        Event::TaskReady | Event::ToolStarted { .. } | Event::LandingIntended { .. } | Event::PushIntended(_) => false,
        Event::AttemptEnded { end, .. } => match end {
            AttemptEnd::Submitted { .. } | AttemptEnd::Released => false,
            AttemptEnd::Unchanged | AttemptEnd::Failed { .. } | AttemptEnd::Unrecoverable { .. } => true,
        },
        Event::MergeProgressed { state, .. } => match state {
            MergeState::Resolving | MergeState::Verifying => true,
            MergeState::Queued
            | MergeState::Merging
            | MergeState::Waiting
            | MergeState::Landed
            | MergeState::Rejected
            | MergeState::Error => false,
        },
        // The task's own event says where the work landed or why it was sent back.
        Event::MergeEnded { end, .. } => match end {
            MergeEnd::Landed { .. } | MergeEnd::Rejected { .. } => false,
            MergeEnd::Error { .. } => true,
        },
        Event::RunSubmitted { .. }
        | Event::WorkspacePrepared { .. }
        | Event::PlanRequested { .. }
        | Event::PlanSaved { .. }
        | Event::TaskClaimed { .. }
        | Event::TurnAnswered { .. }
        | Event::ModelRetried { .. }
        | Event::TaskBlocked { .. }
        | Event::MergeQueued { .. }
        | Event::ConflictDecided { .. }
        | Event::IntegrityFlagged { .. }
        | Event::MergeWaiting { .. }
        | Event::MergeDecided { .. }
        | Event::GateFinished { .. }
        | Event::TaskCompleted { .. }
        | Event::TaskReturned { .. }
        | Event::TaskFailed { .. }
        | Event::TaskCancelled { .. }
        | Event::TaskRecovered { .. }
        | Event::RunDelivering
        | Event::DeliveryRequested { .. }
        | Event::DeliveryStepEnded(_)
        | Event::RunCompleted { .. }
        | Event::EffectFailed { .. }
        | Event::RunFailed { .. }
        | Event::RunExpired
        | Event::RunCancelled => true,
    }
}

/// What a task waits for between two tries of a model call.
pub(super) fn model_wait(why: &str, wait_ms: u64) -> String {
    let why = clean(why).replace('_', " ");
    let wait = duration_text(Duration::from_millis(wait_ms));
    format!("the model ({why}; next try in {wait})")
}

#[cfg(test)]
mod tests;
