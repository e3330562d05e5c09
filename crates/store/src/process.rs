//! Processes that run the engine: who is alive, and which leases are void.

use crate::{Error, Store, timed::timed};
use domain::{Epoch, ProcessId};
use std::time::Duration;

/// One life of one process: what every lease names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which process.
    pub process: ProcessId,
    /// Which life of it.
    pub epoch: Epoch,
}

impl Store {
    /// Begins a new life of the process of that name. Its caller holds the data directory's lock, so the life
    /// before is over, and every lease of it is void from now on.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn register_process(&self, name: &str, version: &str, lease: Duration) -> Result<Holder, Error> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let pid = std::process::id() as i32;
        let row = timed(
            "insert",
            sqlx::query!(
                "insert into process (name, host, pid, version, expires_at)
                 values ($1, $2, $3, $4, now() + make_interval(secs => $5))
                 on conflict (name) do update set epoch = process.epoch + 1, host = excluded.host,
                     pid = excluded.pid, version = excluded.version, draining = false, started_at = now(),
                     expires_at = excluded.expires_at
                 returning id, epoch",
                name,
                host,
                pid,
                version,
                lease.as_secs_f64(),
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(Holder {
            process: ProcessId(row.id),
            epoch: Epoch(row.epoch),
        })
    }

    /// Says that this life goes on. `false` when another life has begun: then nothing may be written any more.
    ///
    /// # Errors
    /// When the database can't be reached: loss of contact is unknown, not death.
    pub async fn heartbeat(&self, holder: Holder, lease: Duration, draining: bool) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update process set expires_at = now() + make_interval(secs => $3), draining = $4
                 where id = $1 and epoch = $2",
                holder.process.0,
                holder.epoch.0,
                lease.as_secs_f64(),
                draining,
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends this life at once, so that a successor waits for nothing.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn end_process(&self, holder: Holder) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update process set expires_at = now() where id = $1 and epoch = $2",
                holder.process.0,
                holder.epoch.0,
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// A handle with one connection of its own, so that a heartbeat never waits behind other work. Made and used
    /// inside the runtime that keeps it.
    pub fn alone(&self) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options);
        Self { pool }
    }
}
