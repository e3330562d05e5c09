//! Merges, their lock, their conflicts and the gate.

use super::{Area, Declaration, MIDDLE_SECONDS};
use crate::{
    instrument::{Counter, Distribution, Gauge},
    label::Label,
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Merges",
    metrics: &[
        &DURATION,
        &MERGES,
        &ACTIVE,
        &LOCK_WAIT,
        &LOCK_VIOLATIONS,
        &CONFLICT_RESOLUTIONS,
        &QUEUE_LENGTH,
        &WAITING,
        &GATE_DURATION,
        &GATE_RUNS,
        &GATE_FLAKY,
        &INTEGRITY_FLAGS,
    ],
};

const GATE_RESULT: Label = Label::fixed("result", &["passed", "failed", "could_not_run", "not_configured"]);

pub(crate) static DURATION: Distribution = Distribution::new(
    Declaration::new(
        "git.merge.duration",
        "s",
        "git_merge_duration_seconds",
        "Time to merge, resolve and land a task's work, without the gate.",
    )
    .buckets(MIDDLE_SECONDS),
);

pub(crate) static MERGES: Counter<1> = Counter::new(
    Declaration::new(
        "git.merge",
        "{merge}",
        "git_merge_total",
        "Merges, each counted once: success without a conflict, conflict with one (resolved or not), error for the rest.",
    )
    .labels(&[Label::fixed("result", &["success", "conflict", "error"])]),
);

pub(crate) static ACTIVE: Gauge = Gauge::new(Declaration::new(
    "git.active.merges",
    "{merge}",
    "git_active_merges",
    "The largest number of merges that hold one lock: 0 or 1.",
));

pub(crate) static LOCK_WAIT: Distribution = Distribution::new(
    Declaration::new(
        "git.lock.wait.duration",
        "s",
        "git_lock_wait_duration_seconds",
        "Time from queued to acquiring the merge lock.",
    )
    .buckets(&[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]),
);

pub(crate) static LOCK_VIOLATIONS: Counter = Counter::new(Declaration::new(
    "git.merge.lock.violations",
    "{violation}",
    "git_merge_lock_violations_total",
    "Times that a merge lock had a second holder; anything but 0 is a defect.",
));

pub(crate) static CONFLICT_RESOLUTIONS: Counter<2> = Counter::new(
    Declaration::new(
        "git.conflict.resolution",
        "{conflict}",
        "git_conflict_resolution_total",
        "Conflicts by the layer that handled them and its result.",
    )
    .labels(&[
        Label::fixed(
            "strategy",
            &[
                "generated",
                "remembered",
                "driver",
                "model",
                "worker",
                "person",
                "other",
            ],
        ),
        Label::fixed("result", &["resolved", "declined", "failed", "other"]),
    ]),
);

pub(crate) static QUEUE_LENGTH: Gauge = Gauge::new(Declaration::new(
    "git.merge.queue.length",
    "{merge}",
    "git_merge_queue_length",
    "Merges that wait or run, from the database.",
));

pub(crate) static WAITING: Gauge = Gauge::new(Declaration::new(
    "git.merge.waiting",
    "{merge}",
    "git_merge_waiting",
    "Merges with an undecided conflict that wait for a person, from the database.",
));

pub(crate) static GATE_DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "gate.duration",
        "s",
        "gate_duration_seconds",
        "Duration of a run of the check command.",
    )
    .labels(&[GATE_RESULT])
    .buckets(&[
        0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    ]),
);

pub(crate) static GATE_RUNS: Counter<1> = Counter::new(
    Declaration::new(
        "gate.runs",
        "{run}",
        "gate_runs_total",
        "Gate verdicts on merged trees; not_configured landed unchecked.",
    )
    .labels(&[GATE_RESULT]),
);

pub(crate) static GATE_FLAKY: Counter = Counter::new(Declaration::new(
    "gate.flaky",
    "{merge}",
    "gate_flaky_total",
    "Merged trees on which a test failed in one run of the check and passed in another.",
));

pub(crate) static INTEGRITY_FLAGS: Counter<1> = Counter::new(
    Declaration::new(
        "integrity.flags",
        "{flag}",
        "integrity_flags_total",
        "Integrity flags of merges, each counted once: changes that weaken their own check, or files that other programs run.",
    )
    .labels(&[Label::fixed("kind", &domain::integrity::IntegrityFlagKind::NAMES)]),
);
