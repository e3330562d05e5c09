//! What is done beside the work: bringing back what dead processes held, ending overdue runs, showing gauges.
//! It runs in every process, and twice does no harm.

use crate::{effects, engine::Engine, step::StepError, trace};
use domain::{
    RunId, TaskId,
    event::Event,
    limits::RunLimits,
    run::{Reason, ReasonCode, RunState},
    task::TaskState,
};
use std::time::Duration;
use telemetry::{run::RunStatus, span::SpanKind, task::TaskStatus};

/// How often dead processes are looked for.
const REAP_EVERY: Duration = Duration::from_secs(2);

/// Brings back what dead processes held.
pub(crate) async fn recover(engine: &Engine) -> Result<(), store::Error> {
    let lost = engine.parts.store.lose_calls(engine.parts.holder).await?;
    if lost > domain::NanoDollars::ZERO {
        tracing::warn!(upper_bound = %lost, "model calls were lost with their process; their upper bounds stay reserved");
        telemetry::llm::discarded(lost);
    }
    for task in engine.parts.store.lost_tasks(engine.parts.holder).await? {
        let event = Event::ProcessLost {
            fence: task.fence,
            progressed: task.progressed,
        };
        match engine.step(task.run, Some(task.task), event, async |_| Ok(())).await {
            Ok(()) | Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Runs until the engine stops.
pub(crate) async fn keep(engine: Engine) {
    let stop = engine.parts.stop.clone();
    loop {
        if let Err(error) = round(&engine).await {
            tracing::debug!(%error, "housekeeping is tried again");
        }
        crate::engine::blocking(telemetry::system::observe).await;
        if stop.run_until_cancelled(tokio::time::sleep(REAP_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn round(engine: &Engine) -> Result<(), store::Error> {
    recover(engine).await?;
    end_overdue_runs(engine).await?;
    gauges(engine).await
}

/// Why a run whose time is up ends.
pub(crate) fn overdue(limits: &RunLimits) -> Reason {
    let limit = limits.run_s;
    let text = format!("the run took longer than it may (limit run_s = {limit}); raise limits.run_s and run again");
    Reason::new(ReasonCode::Limit, text)
}

/// Ends the runs whose time is up, with all that is under way for them.
pub(crate) async fn end_overdue_runs(engine: &Engine) -> Result<(), store::Error> {
    for run in engine.parts.store.overdue_runs().await? {
        let Some(facts) = engine.parts.store.run_facts(run).await? else {
            continue;
        };
        let reason = overdue(&facts.limits);
        match engine
            .step(run, None, Event::RunFailed { reason }, async |_| Ok(()))
            .await
        {
            Ok(()) | Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Gauges that are read from the database.
pub(crate) async fn gauges(engine: &Engine) -> Result<(), store::Error> {
    let store = &engine.parts.store;
    let states = store.task_states().await?;
    telemetry::task::states(&states);
    let ready = states
        .iter()
        .find(|(state, _)| *state == TaskState::Ready)
        .map_or(0, |(_, count)| *count);
    telemetry::queue::length("work", ready);
    let merges = store.merge_queue_length().await?;
    telemetry::merge::queue_length(merges);
    telemetry::queue::length("merge", merges);
    telemetry::merge::waiting(store.merges_waiting().await?);
    telemetry::run::budget_remaining(store.smallest_budget().await?);
    telemetry::run::active(store.runs_under_way().await?);
    let open = store.open_effects().await?;
    for kind in ["prepare", "plan", "deliver"] {
        let waiting = open
            .iter()
            .find(|(name, _)| name == kind)
            .map_or(0, |(_, count)| *count);
        telemetry::queue::length(kind, waiting);
    }
    let (active, idle) = store.connections();
    telemetry::db::pool(i64::from(active), i64::from(idle));
    Ok(())
}

/// Tells the metrics and the trace of tasks and runs that ended, with what the database has of them, and clears
/// away what they left on the disk.
pub(crate) async fn tell_of_ends(engine: Engine, run: RunId, tasks: Vec<TaskId>, ended: bool) {
    for task in tasks {
        match engine.parts.store.task_end(task).await {
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
                span_of_task(&engine, &end, task).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, %task, "the end of a task could not be metered"),
        }
    }
    if !ended {
        return;
    }
    match engine.parts.store.run_facts(run).await {
        Ok(Some(facts)) => tell_of_run(&facts),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, %run, "the end of a run could not be metered"),
    }
    engine.parts.red_base.forget(run);
    effects::settle_run(&engine, run).await;
    if let Err(error) = gauges(&engine).await {
        tracing::debug!(%error, "gauges are read again later");
    }
}

async fn span_of_task(engine: &Engine, end: &store::task::TaskEnd, task: TaskId) {
    let run = trace::of_run(&end.trace);
    let kind = SpanKind::Task {
        profile: &end.profile,
        task,
        attempt: end.attempts,
    };
    let mut span = telemetry::span::late(&trace::of_task(&run, task), &run, kind);
    match engine.parts.store.task_states_passed(task).await {
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

fn tell_of_run(facts: &store::run::RunFacts) {
    let (status, error) = match facts.state {
        RunState::Complete => (RunStatus::Success, None),
        RunState::Cancelled => (RunStatus::Cancelled, Some("cancelled")),
        RunState::Failed | RunState::Planning | RunState::Running | RunState::Delivering => {
            (RunStatus::Failure, Some("failed"))
        }
    };
    let age = Duration::from_secs_f64(facts.age_s.max(0.0));
    telemetry::run::finished(status, age);
    let (start, end) = (
        trace::at(facts.began_unix_s),
        trace::at(facts.began_unix_s + facts.age_s),
    );
    let context = trace::of_run(&facts.trace);
    telemetry::span::run(&context)
        .attr(telemetry::span::attributes::RUN_ID, facts.id.to_string())
        .finish(start, end, error);
}
