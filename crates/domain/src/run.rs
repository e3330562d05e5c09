//! A run: one objective on one workspace.

use crate::{
    ids::{CommitId, RunId},
    money::NanoDollars,
    names::named,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(RunState, ReasonCode, CheckSource);

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// The workspace is being prepared and the plan made.
    Planning,
    /// Tasks are under way.
    Running,
    /// Everything has landed; the branch is being handed over.
    Delivering,
    /// Delivered.
    Complete,
    /// Ended without its objective; the reason says why.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl RunState {
    /// Whether the run has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Planning | Self::Running | Self::Delivering => false,
            Self::Complete | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether its ready tasks can be claimed.
    pub const fn allows_claims(self) -> bool {
        match self {
            Self::Running => true,
            Self::Planning | Self::Delivering | Self::Complete | Self::Failed | Self::Cancelled => false,
        }
    }

    /// Whether the run fails at its deadline. Once all work has landed, the limits of the delivery apply instead.
    pub const fn has_deadline(self) -> bool {
        match self {
            Self::Planning | Self::Running => true,
            Self::Delivering | Self::Complete | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// Why a run or a task ended without success: a stable code, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind of failure.
    pub code: ReasonCode,
    /// What happened, with the value and the way out.
    pub message: String,
}

impl Reason {
    /// A reason of a kind, with its sentence.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ReasonCode {
    /// The workspace can't be worked on.
    Workspace,
    /// The director gave no usable plan.
    Plan,
    /// The provider refused or could not be reached.
    Model,
    /// The dollar cap would have been passed.
    Budget,
    /// A limit of time, turns or size was reached.
    Limit,
    /// The worker said it is blocked or that the task is impossible.
    Worker,
    /// The gate did not pass.
    Gate,
    /// A conflict was not resolved.
    Conflict,
    /// A task failed for good.
    Task,
    /// A task this one waits for did not complete.
    Dependency,
    /// The process died under it too often.
    Poison,
    /// The branch was moved by someone else.
    Moved,
    /// Handing the branch over failed.
    Delivery,
    /// A person asked for it.
    Requested,
    /// The product's own fault, or the machine's: disk, database, sandbox.
    Internal,
}

/// How the tree that lands is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A shell command run at the root of the merged tree; `None` where nothing is configured or detected.
    pub command: Option<String>,
    /// Where the command comes from.
    pub source: CheckSource,
}

/// Where a check command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum CheckSource {
    /// The request named it.
    Request,
    /// The server's configuration names it for this workspace.
    Configuration,
    /// A well-known file in the repository.
    Detected,
    /// There is none: merges land unchecked, and everything says so.
    NotConfigured,
}

/// The row that rules see: a run's state and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which run.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Tasks not yet complete, failed or cancelled.
    pub open: i64,
    /// Tasks a worker holds.
    pub active: i64,
    /// Tasks that could be claimed.
    pub ready: i64,
    /// Tasks that failed for good.
    pub failed: i64,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// The commit everything starts from, once prepared.
    pub base: Option<CommitId>,
    /// What the tasks may try.
    pub tries: Tries,
}

/// How often a task may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Handled failures, rejected merges among them, after which a task has failed.
    pub failures: u32,
    /// Deaths of the process under a task after which it is poison.
    pub crashes: u32,
}

/// What a run has spent and may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Settled cost of answered calls.
    pub spent: NanoDollars,
    /// Upper bounds of calls under way, and of calls whose outcome was lost.
    pub reserved: NanoDollars,
    /// The cap; `None` for no cap.
    pub cap: Option<NanoDollars>,
}

impl Spending {
    /// Whether a call of at most this cost may start.
    pub fn allows(&self, upper_bound: NanoDollars) -> bool {
        self.cap
            .is_none_or(|cap| self.spent + self.reserved + upper_bound <= cap)
    }
}
