//! What is done outside the database, one file for each effect. Each says why doing it twice is safe.

mod deliver;
mod plan;
mod prepare;
pub(crate) mod work;

pub(crate) use prepare::{settle_begun, settle_run};

use crate::context::{Context, StepError};
use domain::{
    input::Input,
    run::{Reason, ReasonCode},
    transition::Refusal,
};
use std::time::Duration;
use store::{Tx, effect::ClaimedEffect};
use telemetry::queue::EffectRunning;

/// As a rule.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The pause before an effect is begun again whose needs were away: the database, a shared hub, room on the disk. That
/// is no try; it goes on for as long as the run may take.
const OUTAGE_WAIT: Duration = Duration::from_secs(5);

/// Why an effect did not come to an outcome.
pub(crate) enum Failure {
    /// What it needs is away.
    Outage(String),
    /// It may pass: a lock file, a machine that is busy.
    Transient(String),
    /// It will not pass: the run ends with this reason.
    Final(Reason),
    /// The process is being stopped; the effect is done by the next.
    Stopped,
    /// The outcome is recorded already, another process is at it, or the run has ended: nothing is left to do.
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

/// How often an effect is begun, the ends of processes under it counted: beyond that it is what ends them.
const BEGINNINGS: u32 = 20;

/// Performs an effect and sees to what becomes of a failure.
pub(crate) async fn perform(context: &Context, effect: ClaimedEffect) {
    let details = match context.store.run_details(effect.run).await {
        Ok(Some(details)) => details,
        Ok(None) => return,
        Err(error) => return give_back(context, &effect, &error.to_string()).await,
    };
    if effect.tries > BEGINNINGS {
        let message = format!("{} was begun {BEGINNINGS} times and never came to an end", effect.kind);
        return fail(
            context,
            &effect,
            Reason::new(ending(&effect, ReasonCode::Poison), message),
        )
        .await;
    }
    let (metered, outcome) = match effect.kind.as_str() {
        "prepare" => (
            metered("prepare", &effect),
            prepare::perform(context, &details, &effect).await,
        ),
        "plan" => (
            metered("plan", &effect),
            plan::perform(context, &details, &effect).await,
        ),
        "deliver" => (
            metered("deliver", &effect),
            deliver::perform(context, &details, &effect).await,
        ),
        // Only known kinds are claimed.
        unknown => {
            tracing::error!(
                kind = unknown,
                "an effect of an unknown kind was claimed; it is released"
            );
            return release(context, &effect).await;
        }
    };
    match outcome {
        Ok(()) => metered.succeeded(),
        Err(Failure::Stopped) => release(context, &effect).await,
        Err(Failure::Overtaken(why)) => {
            tracing::debug!(run = %effect.run, kind = effect.kind, why, "an effect was overtaken");
            retire(context, &effect).await;
        }
        Err(Failure::Outage(error)) if details.age_s < details.limits.run_s as f64 => {
            metered.failed();
            tracing::warn!(run = %effect.run, kind = effect.kind, error, "an effect waits for what is away");
            postpone(context, &effect, &error).await;
        }
        Err(Failure::Outage(error) | Failure::Transient(error)) if effect.tries < tries(&effect) => {
            metered.failed();
            tracing::warn!(run = %effect.run, kind = effect.kind, tries = effect.tries, error, "an effect failed; it is tried again");
            give_back(context, &effect, &error).await;
        }
        Err(Failure::Outage(error) | Failure::Transient(error)) => {
            metered.failed();
            let reason = Reason::new(
                ending(&effect, ReasonCode::Internal),
                format!(
                    "{} failed {} times, the last time with: {error}",
                    effect.kind, effect.tries
                ),
            );
            fail(context, &effect, reason).await;
        }
        Err(Failure::Final(reason)) => {
            metered.failed();
            fail(context, &effect, reason).await;
        }
    }
}

/// How often an effect is tried whose failure may pass by itself.
fn tries(effect: &ClaimedEffect) -> u32 {
    if effect.kind == "deliver" {
        deliver::TRIES
    } else {
        TRIES
    }
}

/// The kind of failure an effect ends a run with. When handing over fails, everything has landed, whatever failed: it
/// can be asked for again.
fn ending(effect: &ClaimedEffect, code: ReasonCode) -> ReasonCode {
    if effect.kind == "deliver" {
        ReasonCode::Delivery
    } else {
        code
    }
}

fn metered(kind: &'static str, effect: &ClaimedEffect) -> EffectRunning {
    if effect.tries > 1 {
        telemetry::queue::retried(kind);
    }
    telemetry::queue::started(kind)
}

async fn fail(context: &Context, effect: &ClaimedEffect, reason: Reason) {
    let reason = Reason::new(reason.code, telemetry::secrets::redact(&reason.message));
    tracing::warn!(run = %effect.run, kind = effect.kind, reason = %reason, "the run failed");
    match context
        .step(effect.run, None, Input::RunFailed { reason }, async |tx| {
            finish(tx, effect).await
        })
        .await
    {
        Ok(()) => {}
        Err(StepError::Refused(_) | StepError::Unknown(_)) => retire(context, effect).await,
        Err(error @ StepError::Store(_)) => give_back(context, effect, &error.to_string()).await,
    }
}

/// Marks an effect done beside its outcome; refuses where another process has claimed it meanwhile.
async fn finish(tx: &mut Tx, effect: &ClaimedEffect) -> Result<(), StepError> {
    match tx.finish_effect(effect).await? {
        true => Ok(()),
        false => Err(Refusal::Stale(format!("{} was claimed by another process meanwhile", effect.kind)).into()),
    }
}

/// Marks an effect done that has nothing left to do, if it is still held here.
async fn retire(context: &Context, effect: &ClaimedEffect) {
    let retired = async {
        let mut tx = context.store.begin().await?;
        tx.finish_effect(effect).await?;
        tx.commit().await
    };
    if let Err(error) = retired.await {
        tracing::debug!(%error, "an effect without anything left to do is claimed once more");
    }
}

async fn release(context: &Context, effect: &ClaimedEffect) {
    if let Err(error) = context.store.release_effect(effect).await {
        tracing::warn!(%error, "an effect could not be released; the next start takes it up");
    }
}

async fn give_back(context: &Context, effect: &ClaimedEffect, error: &str) {
    let wait = FIRST_WAIT * 2u32.saturating_pow(effect.tries.saturating_sub(1).min(6));
    if let Err(error) = context
        .store
        .retry_effect(effect, &telemetry::secrets::redact(error), wait, true)
        .await
    {
        tracing::warn!(%error, "an effect could not be given back; it is claimed anew once the database answers");
    }
}

async fn postpone(context: &Context, effect: &ClaimedEffect, error: &str) {
    let error = telemetry::secrets::redact(error);
    if let Err(error) = context.store.retry_effect(effect, &error, OUTAGE_WAIT, false).await {
        tracing::warn!(%error, "an effect could not be given back; it is claimed anew once the database answers");
    }
}
