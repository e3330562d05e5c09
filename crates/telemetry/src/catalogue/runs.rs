//! Runs.

use super::{Area, Declaration, LONG_SECONDS};
use crate::{
    instrument::{Counter, Distribution, Gauge},
    label::Label,
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Runs",
    metrics: &[&RUNS, &DURATION, &ACTIVE, &ACTIVE_JOBS, &STARTED],
};

pub(crate) static RUNS: Counter<1> = Counter::new(
    Declaration::new("run", "{run}", "run_total", "Runs that ended, by how.")
        .labels(&[Label::fixed("status", &["success", "failure", "cancelled"])]),
);

pub(crate) static DURATION: Distribution = Distribution::new(
    Declaration::new(
        "run.duration",
        "s",
        "run_duration_seconds",
        "Time from submitted to ended.",
    )
    .buckets(LONG_SECONDS),
);

pub(crate) static ACTIVE: Gauge = Gauge::new(Declaration::new(
    "active.runs",
    "{run}",
    "active_runs",
    "Runs that have not ended, from the database.",
));

pub(crate) static ACTIVE_JOBS: Gauge = Gauge::new(Declaration::new(
    "active.jobs",
    "{job}",
    "active_jobs",
    "Jobs under way, which are the runs that have not ended, from the database.",
));

pub(crate) static STARTED: Counter = Counter::new(Declaration::new(
    "run.started",
    "{run}",
    "run_started_total",
    "Runs that were submitted.",
));
