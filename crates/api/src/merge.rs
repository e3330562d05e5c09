//! The merges of a run.

use crate::{Reason, schema};
use domain::merge::MergeState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The merges of a run, in the order they were queued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeList {
    /// The merges.
    pub merges: Vec<Merge>,
}

/// An entry of the merge queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Merge {
    /// Which merge.
    pub id: i64,
    /// Whose work.
    pub task: String,
    /// Which try of the task.
    pub attempt: i32,
    /// Where it stands.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// The finished work.
    pub commit: String,
    /// The tip of the branch it was merged onto.
    pub tip: Option<String>,
    /// The merge commit.
    pub merged_commit: Option<String>,
    /// The tree that was checked, and that lands.
    pub tree: Option<String>,
    /// How the trees were brought together: `already`, `fast` or `ort`.
    pub how: Option<String>,
    /// Path, kind and the three blobs of each conflict.
    pub conflicts: Value,
    /// What the gate said: verdict, command, counts, duration, output.
    pub gate: Option<Value>,
    /// Why it ended without landing.
    pub reason: Option<Reason>,
    /// Milliseconds in the queue.
    pub wait_ms: Option<i64>,
    /// Milliseconds of merging, resolving and landing, without the gate.
    pub merge_ms: Option<i64>,
    /// When the work was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// When the merging began.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// How each conflict was decided, in order.
    pub resolutions: Vec<Resolution>,
}

/// How one conflict was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resolution {
    /// The path.
    pub path: String,
    /// 1 for the first hunk of the file, 0 for the whole file.
    pub hunk: i32,
    /// Which layer decided: `generated`, `remembered`, `driver`, `model`, `worker`, `person`.
    pub layer: String,
    /// `resolved`, `declined` or `failed`.
    pub result: String,
    /// The common text.
    pub base: Option<String>,
    /// The branch's text.
    pub ours: Option<String>,
    /// The work's text.
    pub theirs: Option<String>,
    /// What was put in its place.
    pub text: Option<String>,
    /// The reason given.
    pub reason: String,
    /// The model that answered.
    pub model: Option<String>,
    /// What asking cost, in billionths of a dollar; nothing where no model was asked or it has no price.
    pub cost_nanodollars: Option<i64>,
    /// The same in dollars, for display.
    pub cost_dollars: Option<f64>,
}
