//! The log of a run: events in a sequence without gaps.

use crate::{Error, Holder, Store, storable::document, timed::timed, tx::Tx};
use domain::{RunId, TaskId, event::Event};
use serde_json::Value;

/// A recorded event, as the log has it.
pub type Entry = (Option<TaskId>, Event);

impl Tx {
    /// Appends events in order. Locks the run's row, if it is not locked already.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn append(&mut self, run: RunId, events: &[Entry]) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let count = events.len() as i64;
        let row = timed(
            "update",
            sqlx::query!(
                "update run set event_seq = event_seq + $2 where id = $1 returning event_seq",
                run.0,
                count
            )
            .fetch_one(&mut *self.inner),
        )
        .await?;
        let first = row.event_seq - count + 1;
        let kinds: Vec<String> = events.iter().map(|(_, event)| event.kind().to_owned()).collect();
        let tasks: Vec<Option<i64>> = events.iter().map(|(task, _)| task.map(|task| task.0)).collect();
        let data = events
            .iter()
            .map(|(_, event)| document("event.data", event))
            .collect::<Result<Vec<Value>, _>>()?;
        timed(
            "insert",
            sqlx::query!(
                "insert into event (run, seq, kind, task, data)
                 select $1, $2 + f.place - 1, f.kind, f.task, f.data
                 from unnest($3::text[], $4::bigint[], $5::jsonb[]) with ordinality as f (kind, task, data, place)",
                run.0,
                first,
                &kinds,
                &tasks as &[Option<i64>],
                &data,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// Appends events in a transaction of their own.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn append(&self, run: RunId, events: &[Entry]) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        tx.append(run, events).await?;
        tx.commit().await
    }

    /// Tells other processes that something may have changed. A hint only: everyone polls besides. Sent outside
    /// of any transaction, because a notification inside one takes a global lock at its commit.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn hint(&self, from: Holder) -> Result<(), Error> {
        let query = sqlx::query!("select pg_notify('orchestrator', $1) is null as sent", name(from));
        timed("other", query.fetch_one(&self.pool)).await?;
        Ok(())
    }
}

impl Store {
    /// Hears the hints of processes other than one, calling back for each, until the connection is lost.
    ///
    /// # Errors
    /// Always ends in one: the connection was lost, or could not be had.
    pub async fn hear(&self, own: Holder, changed: impl Fn()) -> Result<std::convert::Infallible, Error> {
        let mut listener = sqlx::postgres::PgListener::connect_with(&self.pool).await?;
        timed("listen", listener.listen("orchestrator")).await?;
        loop {
            if listener.recv().await?.payload() != name(own) {
                changed();
            }
        }
    }
}

/// What a process signs its hints with.
fn name(Holder { process, epoch }: Holder) -> String {
    format!("{}:{}", process.0, epoch.0)
}
