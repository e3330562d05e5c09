//! What is done outside the database, one file for each effect. Each says why doing it twice is safe.

mod deliver;
mod plan;
mod prepare;
pub(crate) mod work;

use crate::{engine::Engine, step::StepError};
use domain::{
    event::Event,
    run::{Reason, ReasonCode},
};
use std::time::Duration;
use store::effect::ClaimedEffect;
use telemetry::queue::EffectRunning;

/// How often an effect is tried whose failure may pass by itself.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why an effect did not come to an outcome.
pub(crate) enum Failure {
    /// It may pass: a busy disk, a database that is restarting.
    Passing(String),
    /// It will not pass: the run ends with this reason.
    Final(Reason),
    /// The process is being stopped; the effect is done by the next.
    Stopped,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Store(error) => error.into(),
            // The outcome is recorded already, or the run has ended: either way there is nothing left to do.
            StepError::Refused(refusal) => Self::Passing(refusal.to_string()),
            StepError::Unknown(run) => Self::Passing(format!("run {run} is gone")),
        }
    }
}

/// Performs an effect and sees to what becomes of a failure.
pub(crate) async fn perform(engine: &Engine, effect: ClaimedEffect) {
    let facts = match engine.parts.store.run_facts(effect.run).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return,
        Err(error) => return give_back(engine, &effect, &error.to_string()).await,
    };
    let (metered, outcome) = match effect.kind.as_str() {
        "prepare" => (metered("prepare", &effect), prepare::perform(engine, &facts, effect.id).await),
        "plan" => (metered("plan", &effect), plan::perform(engine, &facts, effect.id).await),
        "deliver" => (metered("deliver", &effect), deliver::perform(engine, &facts, effect.id).await),
        unknown => {
            tracing::error!(kind = unknown, "an effect of a kind this version does not know was left alone");
            return;
        }
    };
    match outcome {
        Ok(()) => metered.succeeded(),
        Err(Failure::Stopped) => give_back(engine, &effect, "the process was stopped").await,
        Err(Failure::Passing(error)) if effect.tries < TRIES => {
            metered.failed();
            tracing::warn!(run = %effect.run, kind = effect.kind, tries = effect.tries, error, "an effect failed; it is tried again");
            give_back(engine, &effect, &error).await;
        }
        Err(Failure::Passing(error)) => {
            metered.failed();
            let reason = Reason::new(
                ReasonCode::Internal,
                format!("{} failed {} times, the last time with: {error}", effect.kind, effect.tries),
            );
            fail(engine, &effect, reason).await;
        }
        Err(Failure::Final(reason)) => {
            metered.failed();
            fail(engine, &effect, reason).await;
        }
    }
}

fn metered(kind: &'static str, effect: &ClaimedEffect) -> EffectRunning {
    if effect.tries > 1 {
        telemetry::queue::retried(kind);
    }
    telemetry::queue::started(kind)
}

async fn fail(engine: &Engine, effect: &ClaimedEffect, reason: Reason) {
    let reason = Reason::new(reason.code, telemetry::secrets::redact(&reason.message));
    tracing::warn!(run = %effect.run, kind = effect.kind, reason = %reason, "the run failed");
    let id = effect.id;
    let ended = engine.step(effect.run, None, Event::RunFailed { reason }, async |tx| tx.finish_effect(id).await).await;
    if let Err(error) = ended {
        give_back(engine, effect, &error.to_string()).await;
    }
}

async fn give_back(engine: &Engine, effect: &ClaimedEffect, error: &str) {
    let wait = FIRST_WAIT * 2u32.saturating_pow(effect.tries.saturating_sub(1).min(6));
    if let Err(error) = engine.parts.store.retry_effect(effect.id, &telemetry::secrets::redact(error), wait).await {
        tracing::warn!(%error, "an effect could not be given back; it is once this process's lease is over");
    }
}
