//! What happens to runs.

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
    /// As the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// As `automation_jobs_total` writes it.
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

/// A run ended, so long after it was submitted. Called once for each run.
pub fn finished(status: RunStatus, duration: Duration) {
    RUNS.add(1, [status.as_str()]);
    DURATION.observe(duration, []);
    AUTOMATION_JOBS.add(1, [status.as_job_status()]);
    AUTOMATION_DURATION.observe(duration, ["run"]);
}

/// So many runs have not ended, as the database has it.
pub fn active(runs: i64) {
    ACTIVE.set(runs as f64, []);
    ACTIVE_JOBS.set(runs as f64, []);
}

/// The smallest remainder of a budget over active runs, as the database has it; `None` when no active run has one.
pub fn budget_remaining(remaining: impl Into<Option<NanoDollars>>) {
    BUDGET_REMAINING.set(remaining.into().map(NanoDollars::dollars));
}
