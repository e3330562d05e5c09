//! Tasks and their workers.

use super::{Area, Declaration};
use crate::{
    instrument::{Amount, Counter, Distribution, Gauge, Level},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Tasks and workers",
    metrics: &[
        &ACTIVE,
        &BY_STATE,
        &DURATION,
        &COMPLETIONS,
        &RETRIES,
        &ACTIVE_WORKERS,
        &WORKER_SLOTS,
        &TRANSITIONS,
        &SCHEDULE_TO_START,
        &BLOCKED,
    ],
};

/// The states of a task; a test compares them with the domain's.
pub(crate) const STATES: &[&str] = &[
    "planned",
    "ready",
    "active",
    "merging",
    "complete",
    "failed",
    "cancelled",
];
const PREVIOUS_STATES: &[&str] = &[
    "none",
    "planned",
    "ready",
    "active",
    "merging",
    "complete",
    "failed",
    "cancelled",
];
const PROFILE: Label = Label::of("worker_profile", Values::Profiles);

pub(crate) static ACTIVE: Gauge = Gauge::new(Declaration::new(
    "active.tasks",
    "{task}",
    "active_tasks",
    "Tasks that a worker has claimed, from the database.",
));

pub(crate) static BY_STATE: Gauge<1> = Gauge::new(
    Declaration::new(
        "tasks.by.state",
        "{task}",
        "tasks_by_state",
        "Tasks by state, from the database.",
    )
    .labels(&[Label::fixed("state", STATES)]),
);

pub(crate) static DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "task.execution.duration",
        "s",
        "task_execution_duration_seconds",
        "Time a worker spent on a task.",
    )
    .labels(&[PROFILE])
    .buckets(&[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0]),
);

pub(crate) static COMPLETIONS: Counter<2> = Counter::new(
    Declaration::new(
        "task.completion",
        "{task}",
        "task_completion_total",
        "Finished tasks by result; success means that the work has landed.",
    )
    .labels(&[Label::fixed("status", &["success", "failure", "cancelled"]), PROFILE]),
);

pub(crate) static RETRIES: Distribution = Distribution::new(
    Declaration::new(
        "task.retry.count",
        "{retry}",
        "task_retry_count",
        "Retries of a finished task.",
    )
    .buckets(&[0.0, 1.0, 2.0, 3.0, 5.0, 10.0]),
);

pub(crate) static ACTIVE_WORKERS: Level<1> = Level::new(
    Declaration::new(
        "active.workers",
        "{worker}",
        "active_workers",
        "Active workers in this process.",
    )
    .labels(&[PROFILE]),
);

pub(crate) static WORKER_SLOTS: Gauge<1> = Gauge::new(
    Declaration::new(
        "worker.slots",
        "{slot}",
        "worker_slots",
        "Worker slots of this process, used and free.",
    )
    .labels(&[Label::fixed("state", &["used", "free"])]),
);

pub(crate) static TRANSITIONS: Counter<2> = Counter::new(
    Declaration::new(
        "task.state.transitions",
        "{transition}",
        "task_state_transitions_total",
        "Changes of task states; a new task comes from none.",
    )
    .labels(&[Label::fixed("from", PREVIOUS_STATES), Label::fixed("to", STATES)]),
);

pub(crate) static SCHEDULE_TO_START: Distribution = Distribution::new(
    Declaration::new(
        "task.schedule_to_start",
        "s",
        "task_schedule_to_start_seconds",
        "Time from ready to claimed by a worker.",
    )
    .buckets(&[
        0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0,
    ]),
);

pub(crate) static BLOCKED: Amount<1> = Amount::new(
    Declaration::new(
        "task.blocked",
        "s",
        "task_blocked_seconds_total",
        "Time that tasks were blocked, by reason.",
    )
    .labels(&[Label::fixed(
        "reason",
        &["dependency", "slot", "rate_limit", "outage", "other"],
    )]),
);
