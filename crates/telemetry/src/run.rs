//! Events of runs.

use crate::catalogue::{
    compatibility::{AUTOMATION_DURATION, AUTOMATION_JOBS},
    models::BUDGET_REMAINING,
    runs::{ACTIVE, ACTIVE_JOBS, DURATION, RUNS, STARTED},
};
use domain::NanoDollars;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Delivered.
    Success,
    /// Ended without its objective.
    Failure,
    /// Ended by a person.
    Cancelled,
}

impl RunStatus {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// The name in `automation_jobs_total`.
    const fn as_job_status(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A run was submitted.
pub fn started() {
    STARTED.add(1, []);
}

/// A run ended this long after its submission. Called once per run.
pub fn finished(status: RunStatus, duration: Duration) {
    RUNS.add(1, [status.as_str()]);
    DURATION.observe(duration, []);
    AUTOMATION_JOBS.add(1, [status.as_job_status()]);
    AUTOMATION_DURATION.observe(duration, ["run"]);
}

/// This many runs are unfinished, according to the database.
pub fn active(runs: i64) {
    ACTIVE.set(runs as f64, []);
    ACTIVE_JOBS.set(runs as f64, []);
}

/// The smallest remaining budget of active runs, according to the database; `None` if no active run has one.
pub fn budget_remaining(remaining: impl Into<Option<NanoDollars>>) {
    BUDGET_REMAINING.set(remaining.into().map(NanoDollars::dollars));
}
