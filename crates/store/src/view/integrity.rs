//! The integrity flags of a run's merges.

use super::{Views, task::merge_state};
use crate::{Error, timed::timed};
use domain::{MergeId, RunId, TaskKey, integrity::IntegrityFlag, merge::MergeState};
use time::OffsetDateTime;

/// A flag, with the merge it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityFlagView {
    /// What was found.
    pub flag: IntegrityFlag,
    /// Which merge.
    pub merge: MergeId,
    /// Whose work.
    pub task: TaskKey,
    /// Where the merge stands: the flags of merges that landed count for the run.
    pub state: MergeState,
    /// When it was found.
    pub recorded_at: OffsetDateTime,
}

impl Views {
    /// The flags of all merges of a run, in the order they were found.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn integrity_flags(&self, run: RunId) -> Result<Vec<IntegrityFlagView>, Error> {
        let query = sqlx::query!(
            "select f.kind, f.path, f.detail, f.merge, f.recorded_at, m.state, t.key
             from integrity_flag f join merge m on m.id = f.merge join task t on t.id = f.task
             where f.run = $1 order by f.id",
            run.0,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let views = rows.into_iter().map(|row| {
            Ok(IntegrityFlagView {
                flag: crate::integrity::flag(&row.kind, row.path, row.detail)?,
                merge: MergeId(row.merge),
                task: TaskKey(row.key),
                state: merge_state(&row.state)?,
                recorded_at: row.recorded_at,
            })
        });
        views.collect()
    }
}
