//! Reports tasks and runs that have ended: metrics, spans, and cleaning up on the disk.

use super::gauges;
use crate::{
    context::{Context, Ends},
    effects,
    merge::Gates,
    trace,
};
use domain::{TaskId, run::RunState, task::TaskState};
use std::time::Duration;
use telemetry::{run::RunStatus, span::SpanKind, task::TaskStatus};
use tokio::sync::mpsc;

/// Reports what has ended, until the engine stops.
pub(crate) async fn report(context: Context, gates: Gates, mut ends: mpsc::UnboundedReceiver<Ends>) {
    while let Some(Some(ends)) = context.stop.run_until_cancelled(ends.recv()).await {
        tokio::spawn(report_one(context.clone(), gates.clone(), ends));
    }
}

/// Emits metrics and spans of ended tasks and runs from their rows, and removes what they left on the disk.
async fn report_one(context: Context, gates: Gates, ends: Ends) {
    for &task in &ends.tasks {
        match context.store.task_end(task).await {
            Ok(Some(end)) => {
                let status = match end.state {
                    TaskState::Complete => TaskStatus::Success,
                    TaskState::Cancelled => TaskStatus::Cancelled,
                    TaskState::Failed
                    | TaskState::Planned
                    | TaskState::Ready
                    | TaskState::Active
                    | TaskState::Merging => TaskStatus::Failure,
                };
                let worked = Duration::from_secs_f64(end.worked_s.max(0.0));
                telemetry::task::finished(status, &end.profile, worked, end.attempts.saturating_sub(1));
                if status != TaskStatus::Success {
                    telemetry::llm::discarded(end.cost);
                }
                span_of_task(&context, &end, task).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, %task, "Could not report the end of a task"),
        }
    }
    if !ends.is_run {
        return;
    }
    let run = ends.run;
    match context.store.run_details(run).await {
        Ok(Some(details)) => report_run(&details),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, %run, "Could not report the end of a run"),
    }
    gates.forget(run);
    effects::settle_run(&context, run).await;
    if let Err(error) = gauges::read(&context).await {
        tracing::debug!(%error, "Could not read the gauges; retrying");
    }
}

async fn span_of_task(context: &Context, end: &store::task::TaskEnd, task: TaskId) {
    let run = trace::of_run(&end.trace);
    let kind = SpanKind::Task {
        profile: &end.profile,
        task,
        attempt: end.attempts,
    };
    let mut span = telemetry::span::late(&trace::of_task(&run, task), &run, kind);
    match context.store.task_states_passed(task).await {
        Ok(passed) => {
            for (state, at_unix_s) in passed {
                span = span.event(state, trace::at(at_unix_s));
            }
        }
        Err(error) => tracing::debug!(%error, %task, "The span of a task lacks its state changes"),
    }
    let error = (end.state != TaskState::Complete).then_some(end.state.as_str());
    span.finish(trace::at(end.began_unix_s), trace::at(end.ended_unix_s), error);
}

fn report_run(details: &store::run::RunDetails) {
    let (status, error) = match details.state {
        RunState::Complete => (RunStatus::Success, None),
        RunState::Cancelled => (RunStatus::Cancelled, Some("cancelled")),
        RunState::Failed | RunState::Planning | RunState::Running | RunState::Delivering => {
            (RunStatus::Failure, Some("failed"))
        }
    };
    let age = Duration::from_secs_f64(details.age_s.max(0.0));
    telemetry::run::finished(status, age);
    let (start, end) = (
        trace::at(details.began_unix_s),
        trace::at(details.began_unix_s + details.age_s),
    );
    let context = trace::of_run(&details.trace);
    telemetry::span::run(&context)
        .attr(telemetry::span::attributes::RUN_ID, details.id.to_string())
        .finish(start, end, error);
}
