//! Work outside the database: one file for each effect, which says why repeating it is safe.

mod deliver;
mod plan;
mod prepare;
pub(crate) mod work;

pub(crate) use prepare::{settle_run, settle_unfinished};

use crate::context::{Context, StepError};
use domain::{
    effect::{Effect, EffectKind, FinalFailure},
    input::Input,
    run::{Reason, ReasonCode},
    transition::Refusal,
};
use std::time::Duration;
use store::{Tx, effect::ClaimedEffect};
use telemetry::queue::EffectRunning;

/// Why performing an effect did not succeed.
pub(crate) enum Failure {
    /// The database, the shared hub or disk space is missing: retried without counting as a try.
    Outage(String),
    /// A transient failure, such as a lock file or a busy machine: retried.
    Transient(String),
    /// A failure that a retry does not change.
    Final(Reason),
    /// This process is being stopped; the next one performs the effect.
    Stopped,
    /// Nothing is left to do: the outcome is recorded, another process performs the effect, or the run has ended.
    Overtaken(String),
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error.is_transient() {
            true => Self::Outage(error.to_string()),
            false => Self::Transient(error.to_string()),
        }
    }
}

impl From<git::GitError> for Failure {
    fn from(error: git::GitError) -> Self {
        match error.outage().is_some() {
            true => Self::Outage(error.to_string()),
            false => Self::Transient(error.to_string()),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Store(error) => error.into(),
            StepError::Refused(refusal) => Self::Overtaken(refusal.to_string()),
            StepError::Unknown(run) => Self::Overtaken(format!("run {run} is gone")),
        }
    }
}

/// Performs an effect and handles its failure.
pub(crate) async fn perform(context: &Context, effect: ClaimedEffect) {
    let details = match context.store.run_details(effect.run).await {
        Ok(Some(details)) => details,
        Ok(None) => return,
        Err(error) => return retry(context, &effect, &error.to_string()).await,
    };
    let kind = effect.effect.kind();
    let claims = effect.effect.policy().claims;
    if effect.tries > claims {
        let message = format!("{kind} was started {claims} times and never finished");
        return fail(context, &effect, Reason::new(ReasonCode::Poison, message)).await;
    }
    let metered = metered(kind, effect.tries);
    let outcome = match &effect.effect {
        Effect::Prepare => prepare::perform(context, &details, &effect).await,
        Effect::Plan => plan::perform(context, &details, &effect).await,
        Effect::Deliver { again: _ } => deliver::perform(context, &details, &effect).await,
    };
    match outcome {
        Ok(()) => metered.succeeded(),
        Err(failure) => {
            if !matches!(failure, Failure::Stopped | Failure::Overtaken(_)) {
                metered.failed();
            }
            // An outage is waited out as long as the run may take.
            let has_time = details.age_s < details.limits.run_s as f64;
            handle(context, &effect, failure, has_time).await;
        }
    }
}

/// Retries after a failure, or acts on it as the last one.
async fn handle(context: &Context, effect: &ClaimedEffect, failure: Failure, has_time: bool) {
    let (kind, tries) = (effect.effect.kind().as_str(), effect.tries);
    match failure {
        Failure::Outage(error) if has_time => {
            tracing::warn!(run = %effect.run, kind, error, "an effect waits for an outage to end");
            postpone(context, effect, &error).await;
        }
        Failure::Outage(error) | Failure::Transient(error) if tries < effect.effect.policy().tries => {
            tracing::warn!(run = %effect.run, kind, tries, error, "an effect failed; it is retried");
            retry(context, effect, &error).await;
        }
        Failure::Outage(error) | Failure::Transient(error) => {
            let message = format!("{kind} failed {tries} times, the last time with: {error}");
            fail(context, effect, Reason::new(ReasonCode::Internal, message)).await;
        }
        Failure::Final(reason) => fail(context, effect, reason).await,
        Failure::Stopped => release(context, effect).await,
        Failure::Overtaken(why) => {
            tracing::debug!(run = %effect.run, kind, why, "an effect was overtaken");
            retire(context, effect).await;
        }
    }
}

fn metered(kind: EffectKind, tries: u32) -> EffectRunning {
    if tries > 1 {
        telemetry::queue::retried(kind.as_str());
    }
    telemetry::queue::started(kind.as_str())
}

/// Acts on the last failure of an effect as its policy says.
async fn fail(context: &Context, effect: &ClaimedEffect, reason: Reason) {
    let kind = effect.effect.kind();
    let message = telemetry::secrets::redact(&reason.message);
    tracing::warn!(run = %effect.run, kind = kind.as_str(), reason = message, "an effect failed for good");
    let input = match effect.effect.policy().final_failure {
        FinalFailure::FailsRun { code } => Input::RunFailed {
            reason: Reason::new(code.unwrap_or(reason.code), message),
        },
        FinalFailure::Recorded => Input::EffectFailed {
            effect: kind,
            reason: Reason::new(reason.code, message),
        },
    };
    let recorded = context.step(effect.run, None, input, async |tx| finish(tx, effect).await);
    match recorded.await {
        Ok(()) => {}
        Err(StepError::Refused(_) | StepError::Unknown(_)) => retire(context, effect).await,
        Err(error @ StepError::Store(_)) => retry(context, effect, &error.to_string()).await,
    }
}

/// Marks an effect done in the transaction of its outcome; refuses when another process has claimed it.
async fn finish(tx: &mut Tx, effect: &ClaimedEffect) -> Result<(), StepError> {
    match tx.finish_effect(effect).await? {
        true => Ok(()),
        false => {
            let message = format!("{} was claimed by another process", effect.effect.kind());
            Err(Refusal::Stale(message).into())
        }
    }
}

/// Marks an effect done that has nothing left to do, if this process still holds it.
async fn retire(context: &Context, effect: &ClaimedEffect) {
    let retired = async {
        let mut tx = context.store.begin().await?;
        tx.finish_effect(effect).await?;
        tx.commit().await
    };
    if let Err(error) = retired.await {
        tracing::debug!(%error, "an effect with nothing left to do could not be marked done; it is claimed again");
    }
}

async fn release(context: &Context, effect: &ClaimedEffect) {
    if let Err(error) = context.store.release_effect(effect).await {
        tracing::warn!(%error, "an effect could not be released; the next process claims it");
    }
}

async fn retry(context: &Context, effect: &ClaimedEffect, error: &str) {
    let wait = effect.effect.policy().wait_after(effect.tries);
    put_back(context, effect, error, wait, true).await;
}

async fn postpone(context: &Context, effect: &ClaimedEffect, error: &str) {
    put_back(context, effect, error, effect.effect.policy().outage_wait, false).await;
}

async fn put_back(context: &Context, effect: &ClaimedEffect, error: &str, wait: Duration, counted: bool) {
    let error = telemetry::secrets::redact(error);
    if let Err(error) = context.store.retry_effect(effect, &error, wait, counted).await {
        tracing::warn!(%error, "an effect could not be put back; it is claimed again once the database answers");
    }
}
