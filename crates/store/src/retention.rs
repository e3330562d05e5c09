//! Which runs' trees and outputs are given up, and who may do it.

use crate::{Error, Holder, Store, timed::timed, tx::Tx};
use domain::{Fence, RunId};
use std::time::Duration;

/// The lease of whoever gives up what ended runs left.
pub const RETENTION_LEASE: &str = "retention";

impl Tx {
    /// Marks a run as given up: one that has ended, with nothing open, while the lease is held under this fence.
    /// `false` where that is not so, or it was done before.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn expire_run(&mut self, run: RunId, fence: Fence) -> Result<bool, Error> {
        let query = sqlx::query!(
            "update run set expired_at = now()
             where id = $1 and expired_at is null and ended_at is not null
                 and not exists (select 1 from effect where effect.run = $1 and effect.done_at is null)
                 and not exists (select 1 from merge where merge.run = $1 and merge.ended_at is null)
                 and exists (select 1 from lease where name = $2 and fence = $3 and process is not null)",
            run.0,
            RETENTION_LEASE,
            fence.0,
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

    /// Those of the runs that were given up.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn expired_among(&self, runs: &[RunId]) -> Result<Vec<RunId>, Error> {
        let ids: Vec<_> = runs.iter().map(|run| run.0).collect();
        let query = sqlx::query_scalar!(
            "select id from run where id = any ($1) and expired_at is not null",
            &ids
        );
        let found = timed("select", query.fetch_all(&self.pool)).await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    /// Whether this process still holds a lease under that fence.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn holds_lease(&self, name: &str, holder: Holder, fence: Fence) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists (select 1 from lease l join process p on (p.id, p.epoch) = (l.process, l.epoch)
                              where l.name = $1 and l.fence = $2 and l.process = $3 and l.epoch = $4
                                  and p.expires_at >= now()) as "held!""#,
            name,
            fence.0,
            holder.process.0,
            holder.epoch.0,
        );
        Ok(timed("select", query.fetch_one(&self.pool)).await?)
    }
}
