//! Deliver: writes the run's branch into the user's repository, fast-forwards a clean checkout on the base, and, where
//! configured, pushes the branch and creates a pull request.
//!
//! Safe to repeat: each step looks first whether it is done (`already`): the branch points to the commit, the checkout and
//! the remote are at it, the intended push is recorded, a pull request exists. A failed step undoes none before it.

mod body;
mod command;
mod local;
mod pull_request;
mod push;

use super::{Failure, finish};
use crate::context::{
    Context, StepError,
    tip::{self, TipError},
};
use domain::{
    CommitId,
    delivery::{Delivery, DeliveryResult, DeliveryStep, DeliveryStepEnd},
    input::Input,
    run::{Reason, ReasonCode, RunState},
    transition::Refusal,
};
use git::Hub;
use std::sync::Arc;
use store::{effect::ClaimedEffect, run::RunDetails};

/// Why a step has no result.
enum StepFailure {
    /// A transient failure, described for people.
    Transient(String),
    /// The effect itself can't continue.
    Effect(Failure),
}

impl From<git::GitError> for StepFailure {
    fn from(error: git::GitError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<store::Error> for StepFailure {
    fn from(error: store::Error) -> Self {
        Self::Effect(error.into())
    }
}

impl From<Failure> for StepFailure {
    fn from(failure: Failure) -> Self {
        Self::Effect(failure)
    }
}

/// The result of a step, before it is recorded.
struct Ended {
    result: DeliveryResult,
    said: String,
    url: Option<String>,
}

impl Ended {
    fn new(result: DeliveryResult, said: impl Into<String>) -> Self {
        Self {
            result,
            said: said.into(),
            url: None,
        }
    }

    fn refused(said: impl Into<String>) -> Self {
        Self::new(DeliveryResult::Refused, said)
    }
}

/// A running delivery.
struct Delivering<'a> {
    context: &'a Context,
    details: &'a RunDetails,
    effect: &'a ClaimedEffect,
    hub: Arc<Hub>,
    commit: CommitId,
    so_far: Delivery,
}

pub(super) async fn perform(context: &Context, details: &RunDetails, effect: &ClaimedEffect) -> Result<(), Failure> {
    let mut delivering = Delivering::begin(context, details, effect).await?;
    for step in DeliveryStep::ALL {
        delivering.take(step).await?;
    }
    delivering.end().await
}

impl<'a> Delivering<'a> {
    async fn begin(context: &'a Context, details: &'a RunDetails, effect: &'a ClaimedEffect) -> Result<Self, Failure> {
        let hub = context.hub(&details.hub, details.id).await?;
        let found = tip::find(context, details.id, &hub)
            .await
            .map_err(|error| match error {
                TipError::Store(error) => Failure::from(error),
                TipError::Git(error) => error.into(),
            })?;
        let tip = found.ok_or_else(|| {
            undelivered(format!(
                "the integration branch of {} is not in the hub any more: it expired (retention) or was removed. A \
                 branch that was delivered before is still in {}",
                details.branch, details.workspace_path
            ))
        })?;
        if let Some(lost) = tip.lost {
            return Err(undelivered(lost));
        }
        let commit = tip.commit;
        Ok(Self {
            context,
            details,
            effect,
            hub,
            commit,
            so_far: context.store.delivery(details.id).await?,
        })
    }

    /// Takes a step and records its result, unless it was taken before or an earlier one prevents it.
    async fn take(&mut self, step: DeliveryStep) -> Result<(), Failure> {
        if !self.is_wanted(step) || self.so_far.is_settled(step) {
            return Ok(());
        }
        if let Some(blocking) = self.so_far.blocks(step) {
            let why = format!("not tried, because of the {} before it", words(blocking.step));
            return self.record(step, Ended::new(DeliveryResult::Skipped, why)).await;
        }
        match self.perform(step).await {
            Ok(ended) => self.record(step, ended).await,
            Err(StepFailure::Effect(failure)) => Err(failure),
            Err(StepFailure::Transient(error)) if self.effect.tries < self.effect.effect.policy().tries => {
                let said = format!("{error}; retrying");
                self.record(step, Ended::new(DeliveryResult::Failed, said)).await?;
                Err(Failure::Transient(error))
            }
            Err(StepFailure::Transient(error)) => {
                let said = format!("{error} (tried {} times)", self.effect.tries);
                self.record(step, Ended::new(DeliveryResult::Failed, said)).await
            }
        }
    }

    fn is_wanted(&self, step: DeliveryStep) -> bool {
        let settings = self.context.delivery(&self.details.workspace_path);
        match step {
            DeliveryStep::Branch | DeliveryStep::Checkout => true,
            DeliveryStep::Push => settings.is_some_and(|settings| settings.push.is_some()),
            DeliveryStep::PullRequest => settings.is_some_and(|settings| settings.pull_request.is_some()),
        }
    }

    async fn perform(&mut self, step: DeliveryStep) -> Result<Ended, StepFailure> {
        match step {
            DeliveryStep::Branch => local::branch(self).await,
            DeliveryStep::Checkout => local::checkout(self).await,
            DeliveryStep::Push => push::push(self).await,
            DeliveryStep::PullRequest => pull_request::pull_request(self).await,
        }
    }

    async fn record(&mut self, step: DeliveryStep, ended: Ended) -> Result<(), Failure> {
        let end = DeliveryStepEnd {
            step,
            result: ended.result,
            commit: self.commit.clone(),
            said: telemetry::secrets::redact(&ended.said),
            url: ended.url,
        };
        self.tell(Input::DeliveryStepEnded { end: end.clone() }).await?;
        self.so_far.record(end);
        Ok(())
    }

    /// Records progress, as long as this process holds the effect.
    async fn tell(&self, input: Input) -> Result<(), Failure> {
        let held = self.context.step(self.details.id, None, input, async |tx| {
            match tx.holds_effect(self.effect).await? {
                true => Ok(()),
                false => Err(StepError::Refused(Refusal::Stale("another process delivers".into()))),
            }
        });
        Ok(held.await?)
    }

    /// Waits for blocking work. A stopping process leaves it behind, and the next one looks at its result.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let drained = self.context.drain.run_until_cancelled(work).await;
        drained.ok_or(Failure::Stopped)
    }

    async fn end(self) -> Result<(), Failure> {
        let undone: Vec<&str> = self.so_far.undone().map(|end| end.said.as_str()).collect();
        if !undone.is_empty() {
            return Err(undelivered(format!(
                "everything has landed, but not all of it is delivered: {}. `orchestrator deliver {}` retries",
                undone.join("; "),
                self.details.id.short()
            )));
        }
        if self.details.state == RunState::Complete {
            // A repeated delivery: its steps are reported one by one, and the run keeps its state.
            super::retire(self.context, self.effect).await;
            return Ok(());
        }
        let checkout = self.so_far.step(DeliveryStep::Checkout);
        let input = Input::Delivered {
            commit: self.commit.clone(),
            checkout: checkout.map(|end| end.said.clone()).unwrap_or_default(),
        };
        let effect = self.effect;
        let finished = self
            .context
            .step(self.details.id, None, input, async |tx| finish(tx, effect).await);
        Ok(finished.await?)
    }
}

fn undelivered(message: String) -> Failure {
    Failure::Final(Reason::new(ReasonCode::Delivery, message))
}

/// The name of a step, for people.
const fn words(step: DeliveryStep) -> &'static str {
    match step {
        DeliveryStep::Branch => "branch",
        DeliveryStep::Checkout => "checkout",
        DeliveryStep::Push => "push",
        DeliveryStep::PullRequest => "pull request",
    }
}
