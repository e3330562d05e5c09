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
    Declaration::new("run", "{run}", "run_total", "Finished runs by result.")
        .labels(&[Label::fixed("status", &["success", "failure", "cancelled"])]),
);

pub(crate) static DURATION: Distribution = Distribution::new(
    Declaration::new(
        "run.duration",
        "s",
        "run_duration_seconds",
        "Time from submission to the end.",
    )
    .buckets(LONG_SECONDS),
);

pub(crate) static ACTIVE: Gauge = Gauge::new(Declaration::new(
    "active.runs",
    "{run}",
    "active_runs",
    "Unfinished runs, from the database.",
));

pub(crate) static ACTIVE_JOBS: Gauge = Gauge::new(Declaration::new(
    "active.jobs",
    "{job}",
    "active_jobs",
    "The same as active_runs: jobs are runs.",
));

pub(crate) static STARTED: Counter = Counter::new(Declaration::new(
    "run.started",
    "{run}",
    "run_started_total",
    "Submitted runs.",
));
