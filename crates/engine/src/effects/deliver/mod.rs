//! Deliver: the run's branch is put into the user's repository, a clean checkout on the base is moved along, and, where
//! that is configured, the branch is pushed and a pull request made of it.
//!
//! Twice: each step looks first and says `already`. The branch points there; a checkout that was moved is at the
//! commit; a remote is at the commit, and the push that was intended is on record; a pull request is found before one
//! is made. A step that failed undoes none before it.

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

/// Why a step did not come to an end.
enum Trouble {
    /// It may pass; what failed, in a sentence.
    Transient(String),
    /// The effect itself can't go on.
    Effect(Failure),
}

impl From<git::GitError> for Trouble {
    fn from(error: git::GitError) -> Self {
        Self::Transient(error.to_string())
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Effect(error.into())
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Effect(failure)
    }
}

/// What a step came to, before it is recorded.
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

/// One delivery on its way.
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
                "the integration branch of {} is not in the hub any more: retention gave it up, or it was removed. A \
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

    /// Takes a step, unless it was taken before or an earlier one keeps it from being taken, and records what came of
    /// it.
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
            Err(Trouble::Effect(failure)) => Err(failure),
            Err(Trouble::Transient(error)) if self.effect.tries < self.effect.effect.policy().tries => {
                let said = format!("{error}; it is tried again");
                self.record(step, Ended::new(DeliveryResult::Failed, said)).await?;
                Err(Failure::Transient(error))
            }
            Err(Trouble::Transient(error)) => {
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

    async fn perform(&mut self, step: DeliveryStep) -> Result<Ended, Trouble> {
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

    /// Records something on the way, as long as this process is the one that delivers.
    async fn tell(&self, input: Input) -> Result<(), Failure> {
        let held = self.context.step(self.details.id, None, input, async |tx| {
            match tx.holds_effect(self.effect).await? {
                true => Ok(()),
                false => Err(StepError::Refused(Refusal::Stale("another process delivers".into()))),
            }
        });
        Ok(held.await?)
    }

    /// Waits for work beside the runtime; a process that is to stop leaves it behind, and the next one looks what it
    /// came to.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let drained = self.context.drain.run_until_cancelled(work).await;
        drained.ok_or(Failure::Stopped)
    }

    async fn end(self) -> Result<(), Failure> {
        let undone: Vec<&str> = self.so_far.undone().map(|end| end.said.as_str()).collect();
        if !undone.is_empty() {
            return Err(undelivered(format!(
                "everything has landed, but not all of it is handed over: {}. `orchestrator deliver {}` tries again",
                undone.join("; "),
                self.details.id.short()
            )));
        }
        if self.details.state == RunState::Complete {
            // Handed over once more: its steps are told one by one, and the run is what it was.
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

/// A step as people call it.
const fn words(step: DeliveryStep) -> &'static str {
    match step {
        DeliveryStep::Branch => "branch",
        DeliveryStep::Checkout => "checkout",
        DeliveryStep::Push => "push",
        DeliveryStep::PullRequest => "pull request",
    }
}
