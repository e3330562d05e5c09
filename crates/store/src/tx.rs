//! One transaction, and the lock order that every transaction which changes a run follows: the run's row first,
//! then tasks by id.

use crate::{Error, Store, timed::timed};
use sqlx::{Postgres, Transaction};
use std::time::Instant;

/// A transaction under way. Dropped without [`Tx::commit`], it changes nothing.
pub struct Tx {
    pub(crate) inner: sqlx::Transaction<'static, Postgres>,
}

impl Store {
    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin(&self) -> Result<Tx, Error> {
        self.begin_by("begin").await
    }

    /// Begins a transaction that only tells of progress: it is not waited for until it is on the disk. What is
    /// committed after it is on the disk only together with it, so a crash of the database may take back the newest
    /// of such words, but never one that something durable followed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin_progress(&self) -> Result<Tx, Error> {
        self.begin_by("begin; set local synchronous_commit = off").await
    }

    async fn begin_by(&self, statement: &'static str) -> Result<Tx, Error> {
        // `Pool::begin` in its two parts, so that waiting for a connection is not taken for a slow statement.
        let asked = Instant::now();
        let connection = self.pool.acquire().await?;
        telemetry::db::waited(asked.elapsed());
        let inner = timed(
            "begin",
            Transaction::begin(connection, Some(sqlx::SqlStr::from_static(statement))),
        )
        .await?;
        Ok(Tx { inner })
    }
}

impl Tx {
    /// Makes everything durable, or nothing.
    ///
    /// # Errors
    /// When the database can't be reached; then nothing was changed, or the answer was lost and everything was.
    pub async fn commit(self) -> Result<(), Error> {
        timed("commit", self.inner.commit()).await?;
        Ok(())
    }
}
