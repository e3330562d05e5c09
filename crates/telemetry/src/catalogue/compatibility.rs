//! Metrics under names that older dashboards use. Each repeats another metric, recorded by the same event; the help text
//! describes how labels map. They can be disabled.

use super::{
    Area, Declaration, LONG_SECONDS, MIDDLE_SECONDS,
    models::{MODEL, STATUS},
    queue,
};
use crate::{
    instrument::{Counter, Distribution, Gauge, Level},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Compatibility names",
    metrics: &[
        &CELERY_TASKS,
        &CELERY_DURATION,
        &CELERY_ACTIVE,
        &CELERY_LENGTH,
        &CELERY_RETRIES,
        &AUTOMATION_JOBS,
        &AUTOMATION_DURATION,
        &AUTOMATION_STEPS,
        &AI_REQUESTS,
        &AI_TOKENS,
        &AI_COST,
        &DATABASE_CONNECTIONS,
    ],
};

pub(crate) static CELERY_TASKS: Counter<2> = Counter::new(
    Declaration::new(
        "celery.tasks",
        "{task}",
        "celery_tasks_total",
        "The same as queue_tasks_total.",
    )
    .labels(&[queue::TASK_NAME, queue::STATUS])
    .compatibility(),
);

pub(crate) static CELERY_DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "celery.task.duration",
        "s",
        "celery_task_duration_seconds",
        "The same as queue_task_duration_seconds.",
    )
    .labels(&[queue::TASK_NAME])
    .buckets(MIDDLE_SECONDS)
    .compatibility(),
);

pub(crate) static CELERY_ACTIVE: Level<1> = Level::new(
    Declaration::new(
        "celery.tasks.active",
        "{task}",
        "celery_tasks_active",
        "The same as queue_tasks_active.",
    )
    .labels(&[queue::TASK_NAME])
    .compatibility(),
);

pub(crate) static CELERY_LENGTH: Gauge<1> = Gauge::new(
    Declaration::new(
        "celery.queue.length",
        "{task}",
        "celery_queue_length",
        "The same as queue_length.",
    )
    .labels(&[queue::QUEUE])
    .compatibility(),
);

pub(crate) static CELERY_RETRIES: Counter<1> = Counter::new(
    Declaration::new(
        "celery.task.retries",
        "{retry}",
        "celery_task_retries_total",
        "The same as queue_task_retries_total.",
    )
    .labels(&[queue::TASK_NAME])
    .compatibility(),
);

pub(crate) static AUTOMATION_JOBS: Counter<1> = Counter::new(
    Declaration::new(
        "automation.jobs",
        "{job}",
        "automation_jobs_total",
        "The same as run_total, with failed for failure.",
    )
    .labels(&[Label::fixed("status", &["success", "failed", "cancelled"])])
    .compatibility(),
);

pub(crate) static AUTOMATION_DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "automation.job.duration",
        "s",
        "automation_job_duration_seconds",
        "The same as run_duration_seconds; the type is always run.",
    )
    .labels(&[Label::fixed("type", &["run"])])
    .buckets(LONG_SECONDS)
    .compatibility(),
);

pub(crate) static AUTOMATION_STEPS: Counter<2> = Counter::new(
    Declaration::new(
        "automation.job.steps",
        "{step}",
        "automation_job_steps_total",
        "The same as task_completion_total, named by worker profile, with failed for failure.",
    )
    .labels(&[
        Label::of("name", Values::Profiles),
        Label::fixed("status", &["success", "failed", "cancelled"]),
    ])
    .compatibility(),
);

pub(crate) static AI_REQUESTS: Counter<2> = Counter::new(
    Declaration::new(
        "ai.requests",
        "{request}",
        "ai_requests_total",
        "The same as llm_requests_total.",
    )
    .labels(&[MODEL, STATUS])
    .series_limit(500)
    .compatibility(),
);

pub(crate) static AI_TOKENS: Counter<1> = Counter::new(
    Declaration::new(
        "ai.tokens",
        "{token}",
        "ai_tokens_total",
        "The same as llm_tokens_total, both types together.",
    )
    .labels(&[MODEL])
    .compatibility(),
);

pub(crate) static AI_COST: Distribution<1> = Distribution::new(
    Declaration::new(
        "ai.cost.usd",
        "USD",
        "ai_cost_usd",
        "Dollars per answer; its sum is llm_cost_dollars_total.",
    )
    .labels(&[MODEL])
    .buckets(&[0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0])
    .compatibility(),
);

pub(crate) static DATABASE_CONNECTIONS: Gauge = Gauge::new(
    Declaration::new(
        "database.connections",
        "{connection}",
        "database_connections",
        "The sum of db_connections_active and db_connections_idle.",
    )
    .compatibility(),
);
