//! The merges of a run, with how each conflict was decided.

use super::{IntegrityFlagView, Views, task::merge_state};
use crate::{Error, storable::recorded, timed::timed};
use domain::{
    CommitId, MergeId, NanoDollars, RunId, TaskKey, gate::GateReport, merge::MergeState, recorded::Recorded,
    run::Reason,
};
use serde_json::Value;
use sqlx::types::Json;
use std::collections::HashMap;
use time::OffsetDateTime;

/// An entry of the merge queue.
#[derive(Clone, Debug)]
pub struct MergeView {
    /// Which merge.
    pub id: MergeId,
    /// Whose work.
    pub task: TaskKey,
    /// Which try of the task.
    pub attempt: i32,
    /// Where it stands.
    pub state: MergeState,
    /// The frozen work.
    pub commit: CommitId,
    /// The integration tip it was merged onto.
    pub tip: Option<CommitId>,
    /// The merge commit.
    pub merged: Option<CommitId>,
    /// The tree that was validated, and that lands.
    pub tree: Option<String>,
    /// `already`, `fast` or `ort`.
    pub method: Option<String>,
    /// Path, kind and the three blobs of each conflict.
    pub conflicts: Value,
    /// The gate's report.
    pub gate: Option<Recorded<GateReport>>,
    /// Why it ended without landing.
    pub reason: Option<Reason>,
    /// Milliseconds in the queue.
    pub wait_ms: Option<i64>,
    /// Milliseconds of merging, resolving and landing, without the gate.
    pub merge_ms: Option<i64>,
    /// When the work was queued.
    pub queued_at: OffsetDateTime,
    /// When the merging began.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// How each conflict was decided, in order.
    pub resolutions: Vec<ResolutionView>,
    /// What it brought that weakens what decides about it, or runs by itself elsewhere.
    pub integrity_flags: Vec<IntegrityFlagView>,
}

/// One conflict's decision.
#[derive(Clone, Debug)]
pub struct ResolutionView {
    /// The path.
    pub path: String,
    /// 1 for the first hunk of the file, 0 for the whole file.
    pub hunk: i32,
    /// Which layer decided.
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
    /// What asking cost; `None` where nothing was asked or it has no price.
    pub cost: Option<NanoDollars>,
    /// Whether the conflict has gone through the layers again since, so that it does not stand any more.
    pub earlier: bool,
}

impl Views {
    /// The merges of a run, in the order they were queued.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn merges(&self, run: RunId) -> Result<Vec<MergeView>, Error> {
        let query = sqlx::query!(
            r#"select m.id, t.key, m.attempt, m.state, m.commit, m.tip, m.merged, m.tree, m.method, m.conflicts, m.gate,
                   m.reason as "reason: Json<Reason>", m.wait_ms, m.merge_ms, m.queued_at, m.started_at, m.ended_at
               from merge m join task t on t.id = m.task
               where m.run = $1 order by m.queued_at, m.id"#,
            run.0,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut resolutions = self.resolutions(run).await?;
        let flags = self.integrity_flags(run).await?;
        let mut merges = Vec::with_capacity(rows.len());
        for row in rows {
            merges.push(MergeView {
                id: MergeId(row.id),
                task: TaskKey(row.key),
                attempt: row.attempt,
                state: merge_state(&row.state)?,
                commit: CommitId(row.commit),
                tip: row.tip.map(CommitId),
                merged: row.merged.map(CommitId),
                tree: row.tree,
                method: row.method,
                conflicts: row.conflicts,
                gate: row.gate.map(|gate| recorded("merge.gate", gate)),
                reason: row.reason.map(|reason| reason.0),
                wait_ms: row.wait_ms,
                merge_ms: row.merge_ms,
                queued_at: row.queued_at,
                started_at: row.started_at,
                ended_at: row.ended_at,
                resolutions: resolutions.remove(&row.id).unwrap_or_default(),
                integrity_flags: flags.iter().filter(|flag| flag.merge.0 == row.id).cloned().collect(),
            });
        }
        Ok(merges)
    }

    async fn resolutions(&self, run: RunId) -> Result<HashMap<i64, Vec<ResolutionView>>, Error> {
        let query = sqlx::query!(
            r#"select r.merge, r.path, r.hunk, r.layer, r.result, r.base_text, r.ours_text, r.theirs_text, r.text,
                   r.reason, r.model, r.cost, r.round < m.round as "earlier!"
               from merge m join resolution r on r.merge = m.id where m.run = $1 order by r.round, r.id"#,
            run.0,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut resolutions: HashMap<i64, Vec<ResolutionView>> = HashMap::new();
        for row in rows {
            resolutions.entry(row.merge).or_default().push(ResolutionView {
                path: row.path,
                hunk: row.hunk,
                layer: row.layer,
                result: row.result,
                base: row.base_text,
                ours: row.ours_text,
                theirs: row.theirs_text,
                text: row.text,
                reason: row.reason,
                model: row.model,
                cost: row.cost.map(NanoDollars),
                earlier: row.earlier,
            });
        }
        Ok(resolutions)
    }
}
