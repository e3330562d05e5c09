//! The engine's queue, whose tasks are effects.

use super::{Area, Declaration, MIDDLE_SECONDS};
use crate::{
    instrument::{Counter, Distribution, Gauge, Level},
    label::Label,
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Queue",
    metrics: &[&TASKS, &DURATION, &ACTIVE, &LENGTH, &RETRIES],
};

const EFFECTS: &[&str] = &["prepare", "plan", "work", "merge", "deliver", "other"];
pub(super) const TASK_NAME: Label = Label::fixed("task_name", EFFECTS);
pub(super) const QUEUE: Label = Label::fixed("queue", EFFECTS);
pub(super) const STATUS: Label = Label::fixed("status", &["success", "failure", "cancelled"]);

pub(crate) static TASKS: Counter<2> = Counter::new(
    Declaration::new(
        "queue.tasks",
        "{task}",
        "queue_tasks_total",
        "Performed effects by result; cancelled ones were interrupted and are claimed again.",
    )
    .labels(&[TASK_NAME, STATUS]),
);

pub(crate) static DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "queue.task.duration",
        "s",
        "queue_task_duration_seconds",
        "Duration of an effect.",
    )
    .labels(&[TASK_NAME])
    .buckets(MIDDLE_SECONDS),
);

pub(crate) static ACTIVE: Level<1> = Level::new(
    Declaration::new(
        "queue.tasks.active",
        "{task}",
        "queue_tasks_active",
        "Effects running in this process.",
    )
    .labels(&[TASK_NAME]),
);

pub(crate) static LENGTH: Gauge<1> = Gauge::new(
    Declaration::new(
        "queue.length",
        "{task}",
        "queue_length",
        "Effects that wait or run; for work, tasks that wait for a worker; from the database.",
    )
    .labels(&[QUEUE]),
);

pub(crate) static RETRIES: Counter<1> = Counter::new(
    Declaration::new(
        "queue.task.retries",
        "{retry}",
        "queue_task_retries_total",
        "Effects claimed again.",
    )
    .labels(&[TASK_NAME]),
);

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is missing here would be counted as `other`.
    #[test]
    fn every_kind_of_effect_is_a_value_of_the_label() {
        for kind in domain::effect::EffectKind::NAMES {
            assert!(EFFECTS.contains(&kind), "{kind}");
        }
    }
}
