//! The requests of callers, and their answers.

mod answer;
mod clean;
mod ready;
mod runs;
mod submit;

pub use answer::{ANSWER_BYTES, AnswerError, OpenConflict, OpenFile, OpenHunk, OpenVersion};

use crate::disk::DiskSpace;
use domain::{NanoDollars, RunId, limits::RunLimits, run::RunState};
use llm::ModelRef;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A request for a run: one objective on one workspace.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The goal, in words.
    pub objective: String,
    /// The user's repository, an empty directory, or a path that does not exist yet.
    pub workspace: PathBuf,
    /// Whether the workspace may be a directory with files and without git, which become the first commit.
    pub initialise: bool,
    /// The director's model; by default the configured one.
    pub director: Option<ModelRef>,
    /// The model of workers and resolver; by default the configured one.
    pub worker: Option<ModelRef>,
    /// The check command; by default the configured or a detected one.
    pub check: Option<String>,
    /// Limits that differ from the configured ones.
    pub limits: LimitOverrides,
    /// A repeat of the request under the same key returns the first run.
    pub idempotency_key: Option<String>,
    /// Whether the user's checkout may be fast-forwarded for a run with integrity flags; by default as configured.
    pub allow_integrity_flags: Option<bool>,
}

/// Limits that a request may set for its own run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    /// The dollar cap of the run.
    pub cost: Option<NanoDollars>,
    /// Tasks in work at one time.
    pub active_tasks: Option<u32>,
    /// Tasks in the plan.
    pub tasks: Option<u32>,
    /// Failures of a task until it fails for good.
    pub failures: Option<u32>,
    /// Model turns in one attempt.
    pub turns: Option<u32>,
    /// The time limit of the run, in seconds.
    pub run_s: Option<u64>,
    /// The time limit of the check command, in seconds.
    pub gate_s: Option<u64>,
}

impl LimitOverrides {
    /// The configured limits with these overrides.
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

/// An accepted run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Which run.
    pub id: RunId,
    /// Its state.
    pub state: RunState,
    /// Whether this request created it; otherwise an earlier one under the same key did.
    pub created: bool,
}

/// What is wrong with a field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, as the request names it.
    pub field: &'static str,
    /// The value that was found.
    pub value: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Why a run was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A value can't be used.
    #[error("{}", .0.message)]
    Invalid(FieldProblem),
    /// The request is right, but what it names can't be used as things are.
    #[error("{}", .0.message)]
    Unusable(FieldProblem),
    /// The idempotency key was used for another request.
    #[error("idempotency key {key} was used before for another request")]
    KeyReused {
        /// The key.
        key: String,
        /// The run that it created.
        run: RunId,
    },
    /// The limit of unfinished runs is reached.
    #[error("{open} runs are unfinished, and at most {limit} may be")]
    TooManyRuns {
        /// Unfinished runs.
        open: i64,
        /// The configured limit (`limits.open_runs`).
        limit: u32,
    },
    /// The engine accepts no new runs.
    #[error("{0}")]
    Unavailable(String),
    /// An internal error.
    #[error("the run could not be saved: {0}")]
    Internal(String),
}

/// Why a run was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// It can't be cancelled any more.
    #[error("{0}")]
    Refused(String),
    /// An internal error.
    #[error("the run could not be cancelled: {0}")]
    Internal(String),
}

/// Why a run's branch is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// Not everything of it has landed.
    #[error("{0}")]
    Refused(String),
    /// An internal error.
    #[error("the delivery could not be requested: {0}")]
    Internal(String),
}

/// Whether this process is ready for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the database answered within its time.
    pub database: bool,
    /// The sandbox tier in use, for people.
    pub sandbox: String,
    /// What it enforces on this host.
    pub enforcement: Vec<sandbox::Enforcement>,
    /// Whether the process is stopping.
    pub draining: bool,
    /// Kinds of effects that wait for a newer version, because this one does not know them.
    pub unknown_effects: Vec<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The space for data.
    pub disk: DiskSpace,
}
