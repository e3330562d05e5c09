//! What is under way for a task: the worker's newest step, and the newest merge.

use crate::schema;
use domain::merge::MergeState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a worker is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// The turn of the attempt; 0 before the first answer.
    pub turn: i32,
    /// The tool that was called last.
    pub tool: Option<String>,
    /// What the tool is doing, in a few words.
    pub summary: Option<String>,
}

/// The newest merge of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskMerge {
    /// The merge's number.
    pub id: i64,
    /// Its state.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// Its position in the merge queue of the run, from 1; null outside the queue.
    pub position: Option<i64>,
    /// Conflicting paths.
    pub conflicts: Vec<String>,
}
