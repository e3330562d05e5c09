//! A task: a node of the plan, tried by one worker at a time.

use crate::{
    ids::{CommitId, Fence, TaskId, TaskKey},
    names::named,
    profile::Change,
    run::{Reason, ReasonCode},
};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(TaskState, Outcome);

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum TaskState {
    /// It waits for others.
    Planned,
    /// It can be claimed.
    Ready,
    /// A worker holds it.
    Active,
    /// Its work is in the merge queue.
    Merging,
    /// Its work has landed, or it was accepted without a change.
    Complete,
    /// It failed for good.
    Failed,
    /// It was cancelled, or what it waits for did not complete.
    Cancelled,
}

impl TaskState {
    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Planned | Self::Ready | Self::Active | Self::Merging => false,
            Self::Complete | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether a worker can claim it.
    pub const fn is_claimable(self) -> bool {
        match self {
            Self::Ready => true,
            Self::Planned | Self::Active | Self::Merging | Self::Complete | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Whether a worker holds it.
    pub const fn is_held(self) -> bool {
        match self {
            Self::Active => true,
            Self::Planned | Self::Ready | Self::Merging | Self::Complete | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Whether its work is in the merge queue or waits there for a person.
    pub const fn is_merging(self) -> bool {
        match self {
            Self::Merging => true,
            Self::Planned | Self::Ready | Self::Active | Self::Complete | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Whether the tasks that depend on it can go on.
    pub const fn satisfies_dependents(self) -> bool {
        match self {
            Self::Complete => true,
            Self::Planned | Self::Ready | Self::Active | Self::Merging | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// The row that rules see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which task.
    pub id: TaskId,
    /// Its name within the run.
    pub key: TaskKey,
    /// Where it stands.
    pub state: TaskState,
    /// How many of its parents have not completed.
    pub pending: i64,
    /// Grows with each claim.
    pub fence: Fence,
    /// Handled failures so far, rejected merges among them.
    pub failures: u32,
    /// Deaths of the process under it since it last made progress.
    pub crashes: u32,
    /// Whether the next claim goes on with the last attempt instead of beginning another.
    pub resume: bool,
    /// Whether an empty change is acceptable.
    pub change: Change,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// Seconds for which it is not to be claimed again; written only, from the moment of the decision on.
    pub wait_s: u32,
}

/// A direct dependent, as far as completing its parent concerns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Which task.
    pub id: TaskId,
    /// Its name within the run.
    pub key: TaskKey,
    /// Where it stands.
    pub state: TaskState,
    /// How many of its parents have not completed.
    pub pending: i64,
}

/// What the worker says of its own work. Advisory: the tree and the gate decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// All of it.
    Done,
    /// Some of it; the summary says what is missing.
    Partial,
    /// Something outside its reach is missing.
    Blocked,
    /// It can't be done as asked.
    Impossible,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum AttemptEnd {
    /// A commit that holds the work, pinned in the hub.
    Submitted {
        /// The frozen commit.
        commit: CommitId,
    },
    /// The worker says done and the tree is as it was.
    Unchanged,
    /// It did not get there; it may be tried again.
    Failed {
        /// Why, told to the next attempt.
        reason: Reason,
    },
    /// It can't get there however often it is tried: a refused budget, a rejected key.
    Unrecoverable {
        /// Why.
        reason: Reason,
    },
    /// It was stopped on purpose (drain) and is to go on later; it does not count.
    Released,
}

impl AttemptEnd {
    /// Why the attempt failed, given whether its task must change something; `None` where it did not fail.
    pub fn failure(&self, change: Change) -> Option<Reason> {
        match (self, change) {
            (Self::Failed { reason } | Self::Unrecoverable { reason }, _) => Some(reason.clone()),
            (Self::Unchanged, Change::Required) => Some(Reason::new(
                ReasonCode::Worker,
                "the worker reported the task as done, but nothing in the tree has changed",
            )),
            (Self::Unchanged, Change::None | Change::Optional) | (Self::Submitted { .. } | Self::Released, _) => None,
        }
    }

    /// The same end with its sentence rewritten: workers quote what they saw, and that may hold a secret.
    #[must_use]
    pub fn redacted(self, rewrite: impl Fn(&str) -> String) -> Self {
        let rewritten = |reason: Reason| Reason::new(reason.code, rewrite(&reason.message));
        match self {
            Self::Failed { reason } => Self::Failed {
                reason: rewritten(reason),
            },
            Self::Unrecoverable { reason } => Self::Unrecoverable {
                reason: rewritten(reason),
            },
            Self::Submitted { .. } | Self::Unchanged | Self::Released => self,
        }
    }
}
