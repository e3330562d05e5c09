//! Work: one attempt at a task, from a worktree to a frozen commit.
//!
//! Twice: each claim has a fence of its own and a worktree that is named after it. An attempt whose process died
//! goes on from its last snapshot and its journal; nothing that was answered is asked again.

mod attempt;
mod carried;
mod journal;
mod order;
mod place;
mod tree;

use crate::{
    context::{Context, StepError, Waiting, retry_outages},
    recovery::end_overdue_runs,
    trace,
};
use agents::tools::Finish;
use attempt::Attempt;
use domain::{
    event::Event,
    input::Input,
    run::{Reason, ReasonCode},
    task::AttemptEnd,
};
use serde_json::{Value, json};
use std::time::Duration;
use store::claim::Claimed;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// An attempt could not be made ready or recorded, for a reason outside the work.
type Broken = Reason;

/// Performs an attempt and posts how it ended.
pub(crate) async fn perform(context: &Context, claimed: Claimed, cancel: &CancellationToken) {
    let metered = telemetry::queue::started("work");
    let waited = Duration::from_millis(claimed.waited_ms.max(0) as u64);
    let working = telemetry::task::attempt_started(&claimed.profile, waited);
    telemetry::task::blocked("dependency", Duration::from_millis(claimed.depended_ms.max(0) as u64));
    if claimed.attempt > 1 {
        telemetry::queue::retried("work");
    }
    let posted = attempt(context, &claimed, cancel.clone()).await;
    drop(working);
    match posted {
        Ok(()) => metered.succeeded(),
        // The task was cancelled or taken over meanwhile: its state is recorded already.
        Err(StepError::Refused(refusal)) => tracing::debug!(%refusal, "the end of an attempt came too late"),
        Err(error) => {
            metered.failed();
            tracing::error!(%error, task = %claimed.key, "the end of an attempt could not be recorded; it is recovered later");
        }
    }
}

async fn attempt(context: &Context, claimed: &Claimed, cancel: CancellationToken) -> Result<(), StepError> {
    let attempt = match Attempt::begin(context, claimed, cancel).await {
        Ok(attempt) => attempt,
        Err(Unready::Broken(reason)) => {
            return post(context, claimed, AttemptEnd::Failed { reason }, None).await;
        }
        Err(Unready::Away { what, error }) => {
            tracing::warn!(task = %claimed.key, error, "a task is given back: it can't be worked on here");
            context.troubles.rest_from_tasks();
            context.show_blocked_on(Waiting::of(claimed), Some(what)).await;
            return post(context, claimed, AttemptEnd::Released, None).await;
        }
    };
    let trace = trace::of_attempt(&trace::of_run(&attempt.details.trace), claimed.task, claimed.attempt);
    let scope = telemetry::log::scope(&trace, Some(claimed.run), Some(claimed.task), Some(&claimed.profile));
    let (end, finish) = attempt.work(&trace).instrument(scope).await;
    if let Err(error) = context.store.lose_calls_of(claimed.attempt_id).await {
        tracing::warn!(%error, "calls that were dropped stay reserved until the next start");
    }
    trace::attempt_ended(&attempt.details.trace, claimed, attempt.started, &end);
    let posted = post(context, claimed, end, finish.as_ref()).await;
    attempt.clear().await;
    posted
}

/// Records how the attempt ended, and tells the next one of it.
async fn post(context: &Context, claimed: &Claimed, end: AttemptEnd, finish: Option<&Finish>) -> Result<(), StepError> {
    // Where the time of the whole run is up, that is what is told, not that this attempt ran into it.
    if let AttemptEnd::Failed { .. } = end {
        end_overdue_runs(context).await.map_err(StepError::Store)?;
    }
    let commit = match &end {
        AttemptEnd::Submitted { commit } => Some(commit.clone()),
        AttemptEnd::Unchanged | AttemptEnd::Failed { .. } | AttemptEnd::GaveUp { .. } | AttemptEnd::Released => None,
    };
    let end = end.redacted(telemetry::secrets::redact);
    let feedback = match &end {
        AttemptEnd::Failed { reason } => Some(json!({ "attempt": claimed.attempt, "reason": reason.message })),
        AttemptEnd::Submitted { .. } | AttemptEnd::Unchanged | AttemptEnd::GaveUp { .. } | AttemptEnd::Released => None,
    };
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
    // While the database is away the end waits: the work is pinned, and nobody else can say how it went.
    retry_outages(&context.drain, || {
        context.step(run, Some(task), input.clone(), async |tx| {
            tx.close_attempt(row, &end, commit.as_ref(), report.as_ref()).await?;
            if let Some(feedback) = &feedback {
                tx.save_feedback(task, feedback).await?;
            }
            tx.append(run, &[(Some(task), event.clone())]).await?;
            Ok(())
        })
    })
    .await
}

/// Why an attempt does not begin.
enum Unready {
    /// The shared hub can't be reached from here, or the model is not known here. That is no fault of the task, and
    /// counts as no try.
    Away {
        what: &'static str,
        error: String,
    },
    Broken(Broken),
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
