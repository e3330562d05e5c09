//! Work: one attempt at a task, from a worktree to a frozen commit.
//!
//! Safe to repeat: each claim has its own fence and a worktree named after it. After a crash an attempt resumes from its
//! last snapshot and its journal; answered calls are not repeated.

mod attempt;
mod carried;
mod journal;
mod order;
mod tree;
mod worktree;

use crate::{
    context::{Context, HeldTask, RetryPolicy, Running, StepError},
    recovery::end_overdue_runs,
    trace,
};
use agents::tools::Finish;
use attempt::Attempt;
use domain::{
    event::Event,
    feedback::Feedback,
    input::Input,
    run::{Reason, ReasonCode},
    task::AttemptEnd,
};
use serde_json::Value;
use std::time::Duration;
use store::claim::Claimed;
use tracing::Instrument;

/// An attempt could not be prepared or recorded, for a reason outside the work.
type Broken = Reason;

/// Performs an attempt and records how it ended.
pub(crate) async fn perform(context: &Context, claimed: Claimed, running: &Running) {
    let metered = telemetry::queue::started("work");
    let waited = Duration::from_millis(claimed.waited_ms.max(0) as u64);
    let working = telemetry::task::attempt_started(&claimed.profile, waited);
    telemetry::task::blocked("dependency", Duration::from_millis(claimed.depended_ms.max(0) as u64));
    if claimed.attempt > 1 {
        telemetry::queue::retried("work");
    }
    let posted = attempt(context, &claimed, running).await;
    drop(working);
    match posted {
        Ok(()) => metered.succeeded(),
        // The task was cancelled or claimed by another process meanwhile; its state is recorded already.
        Err(StepError::Refused(refusal)) => tracing::debug!(%refusal, "Ignored the end of an outdated attempt"),
        Err(error) => {
            metered.failed();
            tracing::error!(%error, task = %claimed.key, "Could not record the end of an attempt; it will be recovered");
        }
    }
}

async fn attempt(context: &Context, claimed: &Claimed, running: &Running) -> Result<(), StepError> {
    let attempt = match Attempt::start(context, claimed, running).await {
        Ok(attempt) => attempt,
        Err(Unready::Broken(reason)) => {
            return post(context, claimed, AttemptEnd::Failed { reason }, None).await;
        }
        Err(Unready::Stopped) => return post(context, claimed, AttemptEnd::Released, None).await,
        Err(Unready::Away { what, error }) => {
            tracing::warn!(task = %claimed.key, error, "Released a task that can't be worked on here");
            context.pauses.pause_tasks();
            context.show_blocked_on(HeldTask::of(claimed), Some(what)).await;
            return post(context, claimed, AttemptEnd::Released, None).await;
        }
    };
    let trace = trace::of_attempt(&trace::of_run(&attempt.details.trace), claimed.task, claimed.attempt);
    let scope = telemetry::log::scope(&trace, Some(claimed.run), Some(claimed.task), Some(&claimed.profile));
    let (end, finish) = attempt.work(&trace).instrument(scope).await;
    if let Err(error) = context.store.lose_calls_of(claimed.attempt_id).await {
        tracing::warn!(%error, "Could not mark dropped calls as lost; they stay reserved until the next start");
    }
    trace::attempt_ended(&attempt.details.trace, claimed, attempt.started, &end);
    let posted = post(context, claimed, end, finish.as_ref()).await;
    attempt.remove_worktree().await;
    posted
}

/// Records how the attempt ended, with feedback for the next one.
async fn post(context: &Context, claimed: &Claimed, end: AttemptEnd, finish: Option<&Finish>) -> Result<(), StepError> {
    // If the run's own time is over, that is the reason to record, not that this attempt ran into it.
    if let AttemptEnd::Failed { .. } = end {
        end_overdue_runs(context).await.map_err(StepError::Store)?;
    }
    let commit = match &end {
        AttemptEnd::Submitted { commit } => Some(commit.clone()),
        AttemptEnd::Unchanged | AttemptEnd::Failed { .. } | AttemptEnd::Unrecoverable { .. } | AttemptEnd::Released => {
            None
        }
    };
    let end = end.redacted(telemetry::secrets::redact);
    let report = finish.and_then(|finish| serde_json::to_string(finish).ok());
    let report: Option<Value> = report.and_then(|text| serde_json::from_str(&text).ok());
    let report = report.map(|report| telemetry::secrets::redact_json(&report));
    let event = Event::AttemptEnded {
        attempt: claimed.attempt,
        end: end.clone(),
        outcome: finish.map(|finish| finish.outcome),
    };
    let (run, task, row) = (claimed.run, claimed.task, claimed.attempt_id);
    let input = Input::AttemptEnded {
        fence: claimed.fence,
        end: end.clone(),
    };
    // Retried while the database is unavailable: the work is pinned, and only this process knows the result.
    let record = || {
        context.step(run, Some(task), input.clone(), async |tx| {
            tx.close_attempt(row, &end, commit.as_ref(), report.as_ref()).await?;
            let row = tx.lock_task(task).await?;
            if let Some(reason) = row.and_then(|row| end.failure(row.change)) {
                let feedback = Feedback::new(claimed.attempt, reason.message);
                tx.save_feedback(task, &feedback).await?;
            }
            tx.append(run, &[(Some(task), event.clone())]).await?;
            Ok(())
        })
    };
    RetryPolicy::until(&context.drain).run(record).await
}

/// Why an attempt does not start.
enum Unready {
    /// The shared hub can't be reached, or the model is not configured here. Does not count as a failure of the task.
    Away {
        what: &'static str,
        error: String,
    },
    Broken(Broken),
    /// The attempt was cancelled or drained before it started.
    Stopped,
}

impl From<Broken> for Unready {
    fn from(reason: Broken) -> Self {
        Self::Broken(reason)
    }
}

impl From<git::GitError> for Unready {
    fn from(error: git::GitError) -> Self {
        match error.outage() {
            Some(what) => Self::Away {
                what,
                error: error.to_string(),
            },
            None => Self::Broken(broken(error)),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Reason::new(ReasonCode::Internal, telemetry::secrets::redact(&error.to_string()))
}
