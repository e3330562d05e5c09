//! Which runs' trees and outputs are given up, which build caches may be, and who may do it.

use crate::{Error, Holder, Store, lease::Lease, timed::timed, tx::Tx};
use domain::RunId;
use std::time::Duration;
use time::OffsetDateTime;

/// The lease of whoever gives up what ended runs left.
pub const RETENTION_LEASE: &str = "retention";

/// A run that has ended, with nothing of it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// Which run.
    pub run: RunId,
    /// When it ended.
    pub ended_at: OffsetDateTime,
    /// Whether its trees and outputs were given up.
    pub is_expired: bool,
}

impl Tx {
    /// Marks a run as given up: one that has ended, with nothing open, while the lease is held.
    /// `false` where that is not so, or it was done before.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn expire_run(&mut self, run: RunId, lease: &Lease) -> Result<bool, Error> {
        let query = sqlx::query!(
            "update run set expired_at = now()
             where id = $1 and expired_at is null and ended_at is not null
                 and not exists (select 1 from effect where effect.run = $1 and effect.done_at is null)
                 and not exists (select 1 from merge where merge.run = $1 and merge.ended_at is null)
                 and exists (select 1 from lease where name = $2 and fence = $3 and process is not null)",
            run.0,
            lease.name(),
            lease.fence().0,
        );
        Ok(timed("update", query.execute(&mut *self.inner)).await?.rows_affected() == 1)
    }

    /// Whether the run's trees and outputs were given up.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn is_expired(&mut self, run: RunId) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select expired_at is not null as "expired!" from run where id = $1"#,
            run.0,
        );
        Ok(timed("select", query.fetch_optional(&mut *self.inner))
            .await?
            .unwrap_or_default())
    }
}

impl Store {
    /// Runs that ended so long ago and were not given up yet, the oldest first.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn runs_ended_before(&self, ago: Duration, limit: i64) -> Result<Vec<RunId>, Error> {
        let query = sqlx::query_scalar!(
            "select id from run where expired_at is null and ended_at <= now() - make_interval(secs => $1)
             order by ended_at, id limit $2",
            ago.as_secs_f64(),
            limit,
        );
        let found = timed("select", query.fetch_all(&self.pool)).await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    /// Those of the runs that have ended, with nothing open, the oldest end first.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn ended_among(&self, runs: &[RunId]) -> Result<Vec<EndedRun>, Error> {
        let ids: Vec<_> = runs.iter().map(|run| run.0).collect();
        let query = sqlx::query!(
            r#"select id, ended_at as "ended_at!", expired_at is not null as "is_expired!" from run
               where id = any ($1) and ended_at is not null
                   and not exists (select 1 from effect where effect.run = run.id and effect.done_at is null)
                   and not exists (select 1 from merge where merge.run = run.id and merge.ended_at is null)
               order by ended_at, id"#,
            &ids
        );
        let found = timed("select", query.fetch_all(&self.pool)).await?;
        let ended = found.into_iter().map(|row| EndedRun {
            run: RunId(row.id),
            ended_at: row.ended_at,
            is_expired: row.is_expired,
        });
        Ok(ended.collect())
    }

    /// The hubs of the workspaces these runs are on.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn hubs_of(&self, runs: &[RunId]) -> Result<Vec<String>, Error> {
        let ids: Vec<_> = runs.iter().map(|run| run.0).collect();
        let query = sqlx::query_scalar!(
            "select distinct w.hub from run r join workspace w on w.id = r.workspace where r.id = any ($1)",
            &ids
        );
        Ok(timed("select", query.fetch_all(&self.pool)).await?)
    }

    /// The hubs of workspaces that merges were made in, the one whose last merge is the longest ago first.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn hubs_by_last_merge(&self) -> Result<Vec<String>, Error> {
        let query = sqlx::query_scalar!(
            "select w.hub from workspace w join run r on r.workspace = w.id join merge m on m.run = r.id
             group by w.hub order by max(coalesce(m.ended_at, now())), w.hub",
        );
        Ok(timed("select", query.fetch_all(&self.pool)).await?)
    }

    /// How long ago the last whole clean-up of this process's data directory was, in whichever life.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn since_cleaned(&self, holder: Holder) -> Result<Option<Duration>, Error> {
        let query = sqlx::query_scalar!(
            r#"select extract(epoch from now() - cleaned_at)::float8 from process where id = $1"#,
            holder.process.0,
        );
        let seconds = timed("select", query.fetch_optional(&self.pool)).await?.flatten();
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
    }

    /// Records the end of a whole clean-up.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn cleaned(&self, holder: Holder) -> Result<(), Error> {
        let query = sqlx::query!(
            "update process set cleaned_at = now() where id = $1 and epoch = $2",
            holder.process.0,
            holder.epoch.0,
        );
        timed("update", query.execute(&self.pool)).await?;
        Ok(())
    }

    /// Whether this process still holds a lease.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn holds_lease(&self, lease: &Lease, holder: Holder) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists (select 1 from lease l join process p on (p.id, p.epoch) = (l.process, l.epoch)
                              where l.name = $1 and l.fence = $2 and l.process = $3 and l.epoch = $4
                                  and p.expires_at >= now()) as "held!""#,
            lease.name(),
            lease.fence().0,
            holder.process.0,
            holder.epoch.0,
        );
        Ok(timed("select", query.fetch_one(&self.pool)).await?)
    }
}
