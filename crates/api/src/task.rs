//! The tasks of a run.

use crate::{Reason, TaskStatus, schema};
use domain::{merge::MergeState, task::TaskState};
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
    /// A line for people.
    pub title: String,
    /// The kind of worker.
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
    /// Attempts begun.
    pub attempts: i32,
    /// Handled failures, rejected merges among them.
    pub failures: i32,
    /// Deaths of the process under it.
    pub crashes: i32,
    /// Model turns, in all attempts.
    pub turns: i64,
    /// What its calls to models cost so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// Answered calls whose model has no price.
    pub unpriced_calls: i64,
    /// Tasks whose work must have landed first.
    pub depends_on: Vec<String>,
    /// Those of them that have not completed.
    pub waits_for: Vec<String>,
    /// Its newest entry in the merge queue.
    pub merge: Option<TaskMerge>,
    /// Its attempts that did not land, from the first, each with the reason.
    #[serde(default)]
    pub returned: Vec<ReturnedAttempt>,
    /// The merge commit that landed its work.
    pub landed_commit: Option<String>,
    /// Milliseconds from its first start to its end, or to now.
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

/// What a worker is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// Which turn of the attempt; 0 before the first answer.
    pub turn: i32,
    /// The newest tool.
    pub tool: Option<String>,
    /// What the tool is to do, in a few words.
    pub summary: Option<String>,
}

/// A task's newest entry in the merge queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMerge {
    /// Which merge.
    pub id: i64,
    /// Its state.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// Its position in the merge queue of the run, from 1; null outside the queue.
    pub position: Option<i64>,
    /// Conflicted paths.
    pub conflicts: Vec<String>,
}
