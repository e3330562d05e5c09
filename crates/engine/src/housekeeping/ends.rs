//! What has ended: its metrics, its spans, and what it left on the disk.

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

/// Tells of what has ended, for as long as something can.
pub(crate) async fn tell(context: Context, gates: Gates, mut ends: mpsc::UnboundedReceiver<Ends>) {
    while let Some(Some(ends)) = context.stop.run_until_cancelled(ends.recv()).await {
        tokio::spawn(tell_of(context.clone(), gates.clone(), ends));
    }
}

/// Tells the metrics and the trace of tasks and runs that ended, with what the database has of them, and clears
/// away what they left on the disk.
async fn tell_of(context: Context, gates: Gates, ends: Ends) {
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
            Err(error) => tracing::warn!(%error, %task, "the end of a task could not be metered"),
        }
    }
    if !ends.is_run {
        return;
    }
    let run = ends.run;
    match context.store.run_details(run).await {
        Ok(Some(details)) => tell_of_run(&details),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, %run, "the end of a run could not be metered"),
    }
    gates.forget(run);
    effects::settle_run(&context, run).await;
    if let Err(error) = gauges::read(&context).await {
        tracing::debug!(%error, "gauges are read again later");
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
        Err(error) => tracing::debug!(%error, %task, "the span of a task lacks its changes of state"),
    }
    let error = (end.state != TaskState::Complete).then_some(end.state.as_str());
    span.finish(trace::at(end.began_unix_s), trace::at(end.ended_unix_s), error);
}

fn tell_of_run(details: &store::run::RunDetails) {
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
