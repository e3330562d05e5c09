//! The tasks of a run.

use crate::{Reason, TaskMerge, TaskStatus, schema};
use domain::task::TaskState;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The tasks of a run, in the plan's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its name within the run.
    pub key: String,
    /// The title.
    pub title: String,
    /// The worker profile.
    pub profile: String,
    /// Its state. Only landed work completes a task.
    #[schema(schema_with = schema::task_state)]
    pub state: TaskState,
    /// What it is doing, waiting for or came to.
    pub status: TaskStatus,
    /// The same in one line for people.
    pub status_text: String,
    /// Why its work was sent back the last time, or why it ended without success.
    pub reason: Option<Reason>,
    /// Attempts started.
    pub attempts: i32,
    /// Failures that count, rejected merges included.
    pub failures: i32,
    /// Crashes of the process that worked on it, since it last made progress.
    pub crashes: i32,
    /// Model turns of all attempts.
    pub turns: i64,
    /// Cost of its model calls so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// Answered calls of models without a price.
    pub unpriced_calls: i64,
    /// Tasks that have to complete first.
    pub depends_on: Vec<String>,
    /// Those of them that have not completed yet.
    pub waits_for: Vec<String>,
    /// Its newest merge.
    pub merge: Option<TaskMerge>,
    /// Its attempts that did not land, from the first, each with the reason.
    #[serde(default)]
    pub returned: Vec<ReturnedAttempt>,
    /// The merge commit that landed its work.
    pub landed_commit: Option<String>,
    /// Milliseconds from its first attempt to its end, or to now.
    pub duration_ms: Option<i64>,
    /// When it was first claimed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// An attempt whose work did not land.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReturnedAttempt {
    /// The attempt, from 1.
    pub attempt: i32,
    /// Why it did not land.
    pub reason: Reason,
    /// The merge that ended without landing; null where the attempt failed before it was merged.
    pub merge: Option<i64>,
    /// When it was returned.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
}
