//! Merges of a run, merges that wait for a person, and the decisions of people.

use crate::{IntegrityFlag, Reason, schema};
use domain::{RunId, gate::GateReport, merge::MergeState, recorded::Recorded};
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
    /// The merge's number.
    pub id: i64,
    /// The task.
    pub task: String,
    /// The number of the attempt.
    pub attempt: i32,
    /// Its state.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// The submitted commit.
    pub commit: String,
    /// The commit of the branch that it was merged onto.
    pub tip: Option<String>,
    /// The merge commit.
    pub merge_commit: Option<String>,
    /// The tree that the gate checked and that lands.
    pub tree: Option<String>,
    /// The merge method: `already` (nothing to merge), `fast` (tree merge) or `ort` (git's merge).
    pub method: Option<String>,
    /// The conflicts, each with path, kind and the three blobs.
    pub conflicts: Value,
    /// The gate's report; null before the gate ran.
    pub gate: Option<Recorded<GateReport>>,
    /// Why it did not land, or why it waits for a person.
    pub reason: Option<Reason>,
    /// Milliseconds in the queue.
    pub wait_ms: Option<i64>,
    /// Milliseconds of merging, resolving and landing, without the queue and the gate.
    pub merge_ms: Option<i64>,
    /// When the work was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// When merging started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The decisions about its conflicts, in order.
    pub resolutions: Vec<Resolution>,
    /// Changes that weaken the check command or that other programs execute by themselves. They count for the run once
    /// the merge has landed.
    #[serde(default)]
    pub integrity_flags: Vec<IntegrityFlag>,
}

/// A layer's decision about a conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resolution {
    /// The path.
    pub path: String,
    /// The number of the hunk, from 1; 0 for the whole file.
    pub hunk: i32,
    /// The layer: `generated`, `remembered`, `driver`, `model`, `worker`, `person`.
    pub layer: String,
    /// Its result: `resolved`, `declined` or `failed`.
    pub result: String,
    /// The text of the common base.
    pub base: Option<String>,
    /// The branch's text.
    pub ours: Option<String>,
    /// The task's text.
    pub theirs: Option<String>,
    /// The resolved text.
    pub text: Option<String>,
    /// The reason given.
    pub reason: String,
    /// The model, where one was called.
    pub model: Option<String>,
    /// Cost of the model call in billionths of a dollar; null without a call or a price.
    pub cost_nanodollars: Option<i64>,
    /// The same in dollars, for display.
    pub cost_dollars: Option<f64>,
    /// Whether the conflict went through the layers again since, so that this decision no longer holds.
    #[serde(default)]
    pub superseded: bool,
}

/// Merges of all runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeSummaries {
    /// The merges.
    pub merges: Vec<MergeSummary>,
}

/// A merge in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeSummary {
    /// The merge's number.
    pub id: i64,
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last eight digits of the run's id, accepted wherever an id is.
    pub run_short: String,
    /// The task.
    pub task: String,
    /// The task's title.
    pub title: String,
    /// Its state.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// Conflicting paths.
    pub conflicts: Vec<String>,
    /// Why it did not land, or why it waits for a person.
    pub reason: Option<Reason>,
    /// When the work was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// When it started to wait for a person.
    #[serde(with = "time::serde::rfc3339::option")]
    pub waiting_since: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// A merge with its conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeDetail {
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last eight digits of the run's id, accepted wherever an id is.
    pub run_short: String,
    /// The merge, with every decision.
    #[serde(flatten)]
    pub merge: Merge,
    /// The conflicting files of the last merge. Empty without a conflict, or where the conflict is about directories.
    pub files: Vec<ConflictFile>,
    /// Messages of git.
    pub git_messages: Vec<String>,
    /// Why the conflict can no longer be shown; null where it can.
    #[serde(default)]
    pub unavailable_reason: Option<String>,
}

/// A conflicting file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictFile {
    /// The path.
    pub path: String,
    /// The kind of conflict: `content`, `add_add`, `modify_delete`, `rename_rename`, `binary`, `symlink`, `submodule` or
    /// `other`.
    pub kind: String,
    /// The version of the common base.
    pub base: Option<ConflictVersion>,
    /// The version of the branch.
    pub ours: Option<ConflictVersion>,
    /// The version of the task.
    pub theirs: Option<ConflictVersion>,
    /// The hunks that both sides changed; empty where the conflict is not about lines.
    pub hunks: Vec<ConflictHunk>,
    /// The whole text with conflict markers around the hunks.
    pub text_with_markers: Option<String>,
    /// A person's decision about these versions.
    pub answer: Option<PathDecision>,
    /// Who made that decision.
    pub answered_by: Option<String>,
}

/// A version of a conflicting file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictVersion {
    /// Its blob; for a submodule, the commit.
    pub blob: String,
    /// Its mode in octal, as git writes it.
    pub mode: String,
    /// Its text; null where it is not text, or too large.
    pub text: Option<String>,
}

/// A hunk that both sides changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictHunk {
    /// Its first line in the branch's version, from 1.
    pub line: usize,
    /// The text of the common base.
    pub base: String,
    /// The text of the branch.
    pub ours: String,
    /// The text of the task.
    pub theirs: String,
}

/// A person's decisions about conflicting paths. A path that is left out keeps its earlier decision, or goes through
/// the layers again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// The decided paths, each once.
    pub paths: Vec<PathDecision>,
    /// The `tip` of the merge that the decision is about: if the merge has another conflict by now, nothing changes.
    /// Without it, the decision is about the current conflict.
    #[serde(default)]
    pub tip: Option<String>,
    /// The name of the person who decides.
    #[serde(default)]
    pub by: Option<String>,
}

/// A person's decision about a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PathDecision {
    /// The path.
    pub path: String,
    /// `ours` (the branch's version), `theirs` (the task's), `delete`, `content`, or `layers`: withdraw an earlier decision
    /// and let the layers try again.
    #[schema(schema_with = schema::decision)]
    pub decision: String,
    /// The whole text of the file; only with `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Returns the work to its worker for another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnRequest {
    /// What the worker should know.
    pub note: String,
    /// The name of the person who returns it.
    #[serde(default)]
    pub by: Option<String>,
}

/// Rejects the work: its task fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    /// Why.
    pub reason: String,
    /// The name of the person who rejects it.
    #[serde(default)]
    pub by: Option<String>,
}

/// A merge after a person's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecidedMerge {
    /// The merge's number.
    pub id: i64,
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last eight digits of the run's id, accepted wherever an id is.
    pub run_short: String,
    /// Its state.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
}
