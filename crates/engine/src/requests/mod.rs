//! What a caller asks of the engine, and what it is told.

mod answer;
mod clean;
mod ready;
mod runs;
mod submit;

pub use answer::{ANSWER_BYTES, AnswerError, OpenConflict, OpenFile, OpenHunk, OpenVersion};

use crate::disk::DiskRoom;
use domain::{NanoDollars, RunId, limits::RunLimits, run::RunState};
use llm::ModelRef;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One objective on one workspace, as it was asked for.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What is wanted, in words.
    pub objective: String,
    /// The user's repository, an empty directory, or a path that does not exist yet.
    pub workspace: PathBuf,
    /// Whether the workspace may be a directory with files and without git: they become the first commit.
    pub initialise: bool,
    /// Who plans; the configured director's model where none is named.
    pub director: Option<ModelRef>,
    /// Who works and resolves; the configured worker's model where none is named.
    pub worker: Option<ModelRef>,
    /// The check command, where the request names one.
    pub check: Option<String>,
    /// Limits that differ from the configured ones.
    pub limits: LimitsAsked,
    /// A key under which a repeat of this request returns the first run.
    pub idempotency_key: Option<String>,
    /// Whether the user's checkout may be fast-forwarded although the run has integrity flags; as configured where the
    /// request says nothing.
    pub allow_integrity_flags: Option<bool>,
}

/// Limits that a request may set for its own run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsAsked {
    /// Dollars the run may cost.
    pub cost: Option<NanoDollars>,
    /// Tasks workers hold at one time.
    pub active_tasks: Option<u32>,
    /// Tasks in the plan.
    pub tasks: Option<u32>,
    /// Handled failures of a task before it has failed.
    pub failures: Option<u32>,
    /// Model turns in one attempt.
    pub turns: Option<u32>,
    /// Seconds the run may take.
    pub run_s: Option<u64>,
    /// Seconds the check command may take.
    pub gate_s: Option<u64>,
}

impl LimitsAsked {
    /// The configured limits with the asked ones in their place.
    pub fn over(&self, configured: &RunLimits) -> RunLimits {
        let mut limits = configured.clone();
        limits.cost_nanodollars = self.cost.or(limits.cost_nanodollars);
        limits.active_tasks = self.active_tasks.unwrap_or(limits.active_tasks);
        limits.tasks = self.tasks.unwrap_or(limits.tasks);
        limits.failures = self.failures.unwrap_or(limits.failures);
        limits.turns = self.turns.unwrap_or(limits.turns);
        limits.run_s = self.run_s.unwrap_or(limits.run_s);
        limits.gate_s = self.gate_s.unwrap_or(limits.gate_s);
        limits
    }
}

/// A run that was accepted, now or by an earlier request under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Which run.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Whether this request made it.
    pub created: bool,
}

/// Why a run was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A value can't be used.
    #[error("{message}")]
    Invalid {
        /// Which field, as the request names it.
        field: &'static str,
        /// The value that was found.
        value: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Nothing is wrong with the request, but what it names can't be used as things stand.
    #[error("{message}")]
    Unusable {
        /// Which field, as the request names it.
        field: &'static str,
        /// The value that was found.
        value: String,
        /// What stands against it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The idempotency key was used for another request.
    #[error("idempotency key {key} was used before for another request")]
    KeyReused {
        /// The key.
        key: String,
        /// The run it made.
        run: RunId,
    },
    /// As many runs are unfinished as there may be.
    #[error("{open} runs are unfinished, and no more than {limit} may be")]
    TooManyRuns {
        /// So many.
        open: i64,
        /// As configured (`limits.open_runs`).
        limit: u32,
    },
    /// The engine takes no new runs.
    #[error("{0}")]
    Unavailable(String),
    /// The product's own fault.
    #[error("the run could not be saved: {0}")]
    Internal(String),
}

/// Why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// It is past being cancelled.
    #[error("{0}")]
    Refused(String),
    /// The product's own fault.
    #[error("the run could not be cancelled: {0}")]
    Internal(String),
}

/// Why a run's work is not handed over.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// Not everything of it has landed.
    #[error("{0}")]
    Refused(String),
    /// The product's own fault.
    #[error("the delivery could not be asked for: {0}")]
    Internal(String),
}

/// Whether work can be done here, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the database answered within its time.
    pub database: bool,
    /// The sandbox tier in use, in words.
    pub sandbox: String,
    /// What it enforces on this host.
    pub enforcement: Vec<sandbox::Enforcement>,
    /// Whether the process is being stopped.
    pub draining: bool,
    /// Kinds of effects that wait for a newer version: this one does not know them, and leaves them alone.
    pub unknown_effects: Vec<String>,
    /// Where hubs and worktrees live.
    pub data_dir: PathBuf,
    /// How much room its disk has.
    pub disk: DiskRoom,
}
