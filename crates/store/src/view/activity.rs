//! What is going on over all runs: the figures behind the gauges.

use super::{TaskCounts, Views};
use crate::{Error, timed::timed};
use domain::{NanoDollars, RunId};
use time::OffsetDateTime;

/// What is going on over all runs that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Runs that have not ended.
    pub runs: i64,
    /// Their tasks by state.
    pub tasks: TaskCounts,
    /// Tasks that could be claimed at once.
    pub ready: i64,
    /// Merges that have not ended.
    pub merges: i64,
    /// Effects that have not been performed.
    pub effects: i64,
    /// The smallest amount that a run with a cap has left; `None` where no run has a cap.
    pub smallest_remainder: Option<NanoDollars>,
}

/// Something that is still to be done outside the database.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenEffect {
    /// For which run.
    pub run: RunId,
    /// What.
    pub kind: String,
    /// How often it was tried.
    pub tries: i32,
    /// What the last try said.
    pub error: Option<String>,
    /// When it is tried again.
    pub wake_at: Option<OffsetDateTime>,
}

impl Views {
    /// What is going on over all runs.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn activity(&self) -> Result<Activity, Error> {
        let query = sqlx::query!(
            r#"with open as (select id from run where ended_at is null)
               select (select count(*) from open) as "runs!",
                   (select count(*) from merge where ended_at is null) as "merges!",
                   (select count(*) from effect where done_at is null) as "effects!",
                   (select min(cap - spent - reserved) from budget join open on open.id = budget.run) as remainder,
                   count(*) filter (where claimable) as "claimable!",
                   count(*) filter (where state = 'planned') as "planned!",
                   count(*) filter (where state = 'ready') as "ready!",
                   count(*) filter (where state = 'active') as "active!",
                   count(*) filter (where state = 'merging') as "merging!",
                   count(*) filter (where state = 'complete') as "complete!",
                   count(*) filter (where state = 'failed') as "failed!",
                   count(*) filter (where state = 'cancelled') as "cancelled!"
               from task where run in (select id from open)"#
        );
        let row = timed("select", query.fetch_one(&self.pool)).await?;
        Ok(Activity {
            runs: row.runs,
            tasks: TaskCounts {
                planned: row.planned,
                ready: row.ready,
                active: row.active,
                merging: row.merging,
                complete: row.complete,
                failed: row.failed,
                cancelled: row.cancelled,
            },
            ready: row.claimable,
            merges: row.merges,
            effects: row.effects,
            smallest_remainder: row.remainder.map(NanoDollars),
        })
    }

    /// What is still to be done, of one run or of all, oldest first.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn open_effects(&self, run: Option<RunId>, limit: u32) -> Result<Vec<OpenEffect>, Error> {
        let query = sqlx::query!(
            "select run, kind, tries, error, wake_at from effect
             where done_at is null and ($1::uuid is null or run = $1) order by id limit $2",
            run.map(|run| run.0),
            i64::from(limit),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let effect = rows.into_iter().map(|row| OpenEffect {
            run: RunId(row.run),
            kind: row.kind,
            tries: row.tries,
            error: row.error,
            wake_at: row.wake_at,
        });
        Ok(effect.collect())
    }
}
