//! Merges of all runs: those that wait for a person, and one by its number.

use super::{
    MergeView, Views,
    task::{conflict_paths, merge_state},
};
use crate::{Error, timed::timed};
use domain::{MergeId, RunId, TaskKey, merge::MergeState, run::Reason};
use sqlx::types::Json;
use time::OffsetDateTime;

/// A merge, as a line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeLine {
    /// Which merge.
    pub id: MergeId,
    /// Its run.
    pub run: RunId,
    /// Whose work.
    pub task: TaskKey,
    /// The task's title.
    pub title: String,
    /// Where it stands.
    pub state: MergeState,
    /// Conflicted paths.
    pub conflicts: Vec<String>,
    /// Why it ended without landing, or waits for a person.
    pub reason: Option<Reason>,
    /// When the work was queued.
    pub queued_at: OffsetDateTime,
    /// Since when it waits for a person.
    pub waiting_since: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

impl Views {
    /// Merges of all runs, newest first; with a state, those that stand there.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn merge_lines(&self, state: Option<MergeState>, limit: u32) -> Result<Vec<MergeLine>, Error> {
        let query = sqlx::query!(
            r#"select m.id, m.run, t.key, t.title, m.state, m.conflicts, m.reason as "reason: Json<Reason>",
                   m.queued_at, m.waiting_since, m.ended_at
               from merge m join task t on t.id = m.task
               where $1::text is null or m.state = $1 order by m.id desc limit $2"#,
            state.map(MergeState::as_str),
            i64::from(limit),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let lines = rows.into_iter().map(|row| {
            Ok(MergeLine {
                id: MergeId(row.id),
                run: RunId(row.run),
                task: TaskKey(row.key),
                title: row.title,
                state: merge_state(&row.state)?,
                conflicts: conflict_paths(Some(&row.conflicts)),
                reason: row.reason.map(|reason| reason.0),
                queued_at: row.queued_at,
                waiting_since: row.waiting_since,
                ended_at: row.ended_at,
            })
        });
        lines.collect()
    }

    /// One merge, and the run it belongs to.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn merge(&self, merge: MergeId) -> Result<Option<(RunId, MergeView)>, Error> {
        let query = sqlx::query_scalar!("select run from merge where id = $1", merge.0);
        let Some(run) = timed("select", query.fetch_optional(&self.pool)).await? else {
            return Ok(None);
        };
        let merges = self.merges(RunId(run)).await?;
        let own = merges.into_iter().find(|one| one.id == merge);
        Ok(own.map(|one| (RunId(run), one)))
    }
}
