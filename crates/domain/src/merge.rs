//! A merge: an entry of the queue, from finished work to the branch.

use crate::{
    ids::{CommitId, TaskId},
    names::named,
    run::Reason,
};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(MergeState, Layer, Decision);

/// Where a merge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum MergeState {
    /// It waits its turn.
    Queued,
    /// The trees are being brought together.
    Merging,
    /// A conflict is being resolved.
    Resolving,
    /// The gate runs on the merged tree.
    Verifying,
    /// Nobody could decide it: it is out of the queue until a person does.
    Waiting,
    /// It is in the branch.
    Landed,
    /// It went back to its worker.
    Rejected,
    /// It could not be merged for a reason outside the work.
    Error,
}

impl MergeState {
    /// Whether the merge has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Merging | Self::Resolving | Self::Verifying | Self::Waiting => false,
            Self::Landed | Self::Rejected | Self::Error => true,
        }
    }

    /// Whether a merger works on it in its turn.
    pub const fn is_mergeable(self) -> bool {
        match self {
            Self::Queued | Self::Merging | Self::Resolving | Self::Verifying => true,
            Self::Waiting | Self::Landed | Self::Rejected | Self::Error => false,
        }
    }

    /// Whether it is out of the queue until a person decides.
    pub const fn waits_for_person(self) -> bool {
        match self {
            Self::Waiting => true,
            Self::Queued
            | Self::Merging
            | Self::Resolving
            | Self::Verifying
            | Self::Landed
            | Self::Rejected
            | Self::Error => false,
        }
    }

    /// Whether it ended without landing, so that the same commit can be submitted again.
    pub const fn can_be_resubmitted(self) -> bool {
        match self {
            Self::Rejected | Self::Error => true,
            Self::Queued | Self::Merging | Self::Resolving | Self::Verifying | Self::Waiting | Self::Landed => false,
        }
    }
}

/// Who decides a conflict, in the order they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Layer {
    /// A rule for files that are generated or only appended to.
    Generated,
    /// A decision that has landed before, for the same hunk.
    Remembered,
    /// An external program that knows the syntax.
    Driver,
    /// A model, and a stronger one after it.
    Model,
    /// The worker whose work it is.
    Worker,
    /// A person.
    Person,
}

impl Layer {
    /// Whether its decisions are remembered for the same hunk once they have landed.
    pub const fn is_learned(self) -> bool {
        match self {
            Self::Model | Self::Person => true,
            Self::Generated | Self::Remembered | Self::Driver | Self::Worker => false,
        }
    }
}

/// How a recorded decision is told to people: `resolved by the model`, `left to the worker`.
pub fn decision_in_words(layer: &str, result: &str) -> String {
    match Layer::parse(layer) {
        Some(Layer::Generated) => format!("{result} by a rule for generated files"),
        Some(Layer::Remembered) => format!("{result} as it was before"),
        // Whatever came of the others, here it is handed over.
        Some(Layer::Worker) => "left to the worker".to_owned(),
        Some(Layer::Person) => format!("{result} by a person"),
        Some(Layer::Driver | Layer::Model) | None => format!("{result} by the {layer}"),
    }
}

/// What a layer made of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Decision {
    /// It is decided.
    Resolved,
    /// It stands, and the next layer is asked.
    Declined,
    /// The layer could not do its work; the next is asked.
    Failed,
}

/// What a person decided about a conflicting path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The branch's version stays; if the branch deleted it, it goes.
    Ours,
    /// The work's version is taken; if the work deleted it, it goes.
    Theirs,
    /// It goes.
    Delete,
    /// This is what it holds.
    Content(Vec<u8>),
}

impl Choice {
    /// As the interfaces and the database write it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Delete => "delete",
            Self::Content(_) => "content",
        }
    }

    /// The choice of that name; a content has one, the others none.
    pub fn parse(name: &str, content: Option<Vec<u8>>) -> Option<Self> {
        match (name, content) {
            ("ours", None) => Some(Self::Ours),
            ("theirs", None) => Some(Self::Theirs),
            ("delete", None) => Some(Self::Delete),
            ("content", Some(content)) => Some(Self::Content(content)),
            _ => None,
        }
    }

    /// What it comes to, in words.
    pub const fn in_words(&self) -> &'static str {
        match self {
            Self::Ours => "the branch's version stays",
            Self::Theirs => "the work's version is taken",
            Self::Delete => "it goes",
            Self::Content(_) => "a content of their own",
        }
    }
}

/// What a person says about a merge that waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These paths are decided; the merge is tried again.
    Resolved {
        /// Which paths.
        paths: Vec<String>,
    },
    /// The work goes back to its worker, which does not count as a failure: one more try.
    SentBack {
        /// What the worker is to be told.
        note: String,
    },
    /// The work is given up: its task has failed.
    Abandoned {
        /// Why.
        reason: String,
    },
}

/// A change of the merge queue, saved in the transaction that decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// Finished work is submitted. Work that is in the queue already stays as it is.
    Submit {
        /// The task.
        task: TaskId,
        /// The frozen commit.
        commit: CommitId,
    },
    /// A task's work leaves the queue, unless its landing is intended.
    Withdraw {
        /// The task.
        task: TaskId,
    },
}

/// How a merge ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum MergeEnd {
    /// The commit is in the branch.
    Landed {
        /// The merge commit, or the tip when the work was already in it.
        commit: CommitId,
    },
    /// The work is not good enough as it is; the worker is told why.
    Rejected {
        /// What the gate or the resolver said.
        reason: Reason,
    },
    /// Something outside the work failed.
    Error {
        /// What.
        reason: Reason,
    },
}
