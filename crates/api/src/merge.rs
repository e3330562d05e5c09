//! Merges: those of a run, those that wait for a person, and what people answer.

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
    /// The gate's report; null before the gate ran.
    pub gate: Option<Recorded<GateReport>>,
    /// Why it ended without landing, or waits for a person.
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
    /// What it brought that weakens what decides about it, or runs by itself elsewhere. They count for the run once
    /// the merge has landed.
    #[serde(default)]
    pub integrity_flags: Vec<IntegrityFlag>,
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
    /// Whether the conflict has gone through the layers again since: then this is history, and does not stand.
    #[serde(default)]
    pub earlier: bool,
}

/// Merges of all runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeLines {
    /// The merges.
    pub merges: Vec<MergeLine>,
}

/// A merge, as a line of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeLine {
    /// Which merge.
    pub id: i64,
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last digits of the run's id: enough to name it.
    pub run_short: String,
    /// Whose work.
    pub task: String,
    /// The task's title.
    pub title: String,
    /// Where it stands.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
    /// Conflicted paths.
    pub conflicts: Vec<String>,
    /// Why it ended without landing, or waits for a person.
    pub reason: Option<Reason>,
    /// When the work was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// Since when it waits for a person.
    #[serde(with = "time::serde::rfc3339::option")]
    pub asked_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// A merge with the conflict it met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergeDetail {
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last digits of the run's id: enough to name it.
    pub run_short: String,
    /// The merge, with who tried what.
    #[serde(flatten)]
    pub merge: Merge,
    /// The conflicting paths, as they met last. Empty where none did, or where the conflict is about directories.
    pub files: Vec<ConflictFile>,
    /// What git said.
    pub messages: Vec<String>,
    /// Why nothing of the conflict is left to see, where that is so.
    #[serde(default)]
    pub gone: Option<String>,
}

/// A conflicting path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictFile {
    /// The path.
    pub path: String,
    /// What meets there: `content`, `add_add`, `modify_delete`, `rename_rename`, `binary`, `symlink`, `submodule` or
    /// `other`.
    pub kind: String,
    /// The version of the common base.
    pub base: Option<ConflictVersion>,
    /// The version of the branch.
    pub ours: Option<ConflictVersion>,
    /// The version of the work.
    pub theirs: Option<ConflictVersion>,
    /// The places that both sides changed; none where the conflict is not about lines.
    pub hunks: Vec<ConflictHunk>,
    /// The whole text with the hunks between markers.
    pub marked: Option<String>,
    /// What a person decided about these very versions.
    pub answer: Option<PathAnswer>,
    /// Who decided.
    pub answered_by: Option<String>,
}

/// A version of a conflicting path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictVersion {
    /// Its blob; for a submodule, the commit.
    pub blob: String,
    /// Its mode in octal, as git writes it.
    pub mode: String,
    /// Its text; null where it is none, or too large to show.
    pub text: Option<String>,
}

/// A place that both sides changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictHunk {
    /// The line it begins at, counted from 1, in the branch's version.
    pub line: usize,
    /// What the common base has here.
    pub base: String,
    /// What the branch has here.
    pub ours: String,
    /// What the work has here.
    pub theirs: String,
}

/// What a person decides about conflicting paths. Paths that are left out keep what was answered about them; without
/// an answer they go through the layers again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewResolution {
    /// The paths that are decided, each once.
    pub paths: Vec<PathAnswer>,
    /// The `tip` of the merge that was looked at: if it asks about another conflict by now, nothing is changed.
    /// Without it, the answer is for what waits now.
    #[serde(default)]
    pub tip: Option<String>,
    /// Who decides, as they call themselves.
    #[serde(default)]
    pub by: Option<String>,
}

/// What a person decides about a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PathAnswer {
    /// The path.
    pub path: String,
    /// `ours` (the branch's version), `theirs` (the work's), `delete`, `content`, or `layers`: the layers are asked once
    /// more, and what was answered before is withdrawn.
    #[schema(schema_with = schema::decision)]
    pub decision: String,
    /// The whole text that the path is to hold; with `content` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// The work goes back to its worker, for one more try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnedWork {
    /// What the worker is to know.
    pub note: String,
    /// Who sends it back, as they call themselves.
    #[serde(default)]
    pub by: Option<String>,
}

/// The work is given up: its task fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectedWork {
    /// Why.
    pub reason: String,
    /// Who gives it up, as they call themselves.
    #[serde(default)]
    pub by: Option<String>,
}

/// A merge after it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnsweredMerge {
    /// Which merge.
    pub id: i64,
    /// Its run.
    #[schema(value_type = uuid::Uuid)]
    pub run: RunId,
    /// The last digits of the run's id: enough to name it.
    pub run_short: String,
    /// Where it stands.
    #[schema(schema_with = schema::merge_state)]
    pub state: MergeState,
}
