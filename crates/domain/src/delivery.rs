//! Handing a run's work over: the steps, in their order, and what came of each.

use crate::ids::CommitId;
use crate::names::named;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(DeliveryStep, DeliveryResult);

/// One of the things a delivery does, in the order they are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryStep {
    /// The branch is put into the user's repository.
    Branch,
    /// A clean checkout that sits on the base is moved along.
    Checkout,
    /// The branch is pushed to a remote.
    Push,
    /// A pull request is made by a configured command.
    PullRequest,
}

impl DeliveryStep {
    /// Whether this step can't be done where the other one was not.
    pub const fn needs(self, other: Self) -> bool {
        match self {
            Self::Branch => false,
            Self::Checkout | Self::Push => matches!(other, Self::Branch),
            Self::PullRequest => matches!(other, Self::Branch | Self::Push),
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryResult {
    /// There is something that was not there before.
    Created,
    /// Something went forward.
    Updated,
    /// It was done before.
    Already,
    /// It was not tried; the sentence says why.
    Skipped,
    /// It could not be done, and may be possible later: the remote is away, a command failed.
    Failed,
    /// The other side said no.
    Refused,
}

impl DeliveryResult {
    /// Whether what was to be is so.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Already)
    }

    /// Whether what was to be is not so, and should be.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Refused)
    }
}

/// A step that came to something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryStepEnd {
    /// Which step.
    pub step: DeliveryStep,
    /// What came of it.
    pub result: DeliveryResult,
    /// The commit that it was about.
    pub commit: CommitId,
    /// The same in a sentence, with the way out where there has to be one.
    pub said: String,
    /// Where the result can be looked at.
    pub url: Option<String>,
}

/// A push that is about to be made. It is recorded before, so that whoever finds the remote already there after a
/// crash knows whose push it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushIntent {
    /// The remote.
    pub address: String,
    /// The branch there.
    pub branch: String,
    /// Where the branch was found; `None`: it did not exist.
    pub expected: Option<CommitId>,
    /// Where it is to be.
    pub commit: CommitId,
}

/// What is known of a run's delivery, since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// The steps that came to something, in their order.
    pub steps: Vec<DeliveryStepEnd>,
    /// The push whose outcome is not known.
    pub push_intent: Option<PushIntent>,
}

impl Delivery {
    /// What came of a step.
    pub fn step(&self, step: DeliveryStep) -> Option<&DeliveryStepEnd> {
        self.steps.iter().find(|end| end.step == step)
    }

    /// Takes in what came of a step, in place of what came of an earlier try at it. What a remote answered settles the
    /// push that was intended; that it could not be reached does not.
    pub fn record(&mut self, end: DeliveryStepEnd) {
        if end.step == DeliveryStep::Push && end.result != DeliveryResult::Failed {
            self.push_intent = None;
        }
        let place = |step: DeliveryStep| DeliveryStep::ALL.iter().position(|other| *other == step);
        self.steps.retain(|other| other.step != end.step);
        self.steps.push(end);
        self.steps.sort_by_key(|end| place(end.step));
    }

    /// Whether this step needs nothing more.
    pub fn is_settled(&self, step: DeliveryStep) -> bool {
        self.step(step).is_some_and(|end| {
            // A checkout is left alone for good; anything else is skipped only where an earlier step stood in its way.
            end.result.is_good() || (step == DeliveryStep::Checkout && end.result == DeliveryResult::Skipped)
        })
    }

    /// The steps that should have been done and were not.
    pub fn undone(&self) -> impl Iterator<Item = &DeliveryStepEnd> {
        self.steps.iter().filter(|end| end.result.is_bad())
    }

    /// What keeps a step from being tried: an earlier one that it needs.
    pub fn blocks(&self, step: DeliveryStep) -> Option<&DeliveryStepEnd> {
        self.undone().find(|end| step.needs(end.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(step: DeliveryStep, result: DeliveryResult) -> DeliveryStepEnd {
        DeliveryStepEnd {
            step,
            result,
            commit: CommitId("0".repeat(40)),
            said: String::new(),
            url: None,
        }
    }

    #[test]
    fn a_refused_push_blocks_the_pull_request_alone() {
        let mut delivery = Delivery::default();
        delivery.record(end(DeliveryStep::Push, DeliveryResult::Refused));
        delivery.record(end(DeliveryStep::Branch, DeliveryResult::Created));
        let steps: Vec<_> = delivery.steps.iter().map(|end| end.step).collect();
        assert_eq!(steps, [DeliveryStep::Branch, DeliveryStep::Push]);
        assert!(delivery.blocks(DeliveryStep::Checkout).is_none());
        assert!(delivery.blocks(DeliveryStep::PullRequest).is_some());
        // Once the way is free, what was skipped is tried.
        delivery.record(end(DeliveryStep::PullRequest, DeliveryResult::Skipped));
        delivery.record(end(DeliveryStep::Push, DeliveryResult::Already));
        assert!(!delivery.is_settled(DeliveryStep::PullRequest));
        assert!(delivery.blocks(DeliveryStep::PullRequest).is_none());
    }

    #[test]
    fn an_intended_push_is_remembered_until_the_remote_has_answered() {
        let commit = CommitId("0".repeat(40));
        let mut delivery = Delivery {
            push_intent: Some(PushIntent {
                address: "/remote".into(),
                branch: "b".into(),
                expected: None,
                commit,
            }),
            ..Delivery::default()
        };
        delivery.record(end(DeliveryStep::Push, DeliveryResult::Failed));
        assert!(delivery.push_intent.is_some());
        delivery.record(end(DeliveryStep::Push, DeliveryResult::Already));
        assert!(delivery.push_intent.is_none());
    }
}
