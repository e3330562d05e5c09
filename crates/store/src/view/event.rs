//! The log of a run, from any point on.

use super::{Views, run::run_state};
use crate::{Error, timed::timed};
use domain::{RunId, TaskKey};
use serde_json::Value;
use time::OffsetDateTime;

/// The most events one page holds.
const PAGE: u32 = 1_000;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// Its number within the run, from 1, without gaps.
    pub seq: i64,
    /// When it was recorded.
    pub at: OffsetDateTime,
    /// What happened.
    pub kind: String,
    /// Whose, if a task's.
    pub task: Option<TaskKey>,
    /// The event, with its `kind`.
    pub data: Value,
}

/// Some of the log, in order.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The entries.
    pub events: Vec<LoggedEvent>,
    /// Whether nothing more will come: the run has ended, and this page reaches the end of its log.
    pub ended: bool,
}

impl Views {
    /// The events after one of them; `None` where there is no such run.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn events(&self, run: RunId, after: i64, limit: u32) -> Result<Option<EventPage>, Error> {
        // The run is read first: what it says was logged by then is in the second answer.
        let query = sqlx::query!(
            r#"select r.state, r.event_seq,
                   exists (select from task t where t.run = r.id and t.ended_at is null) as "open!"
               from run r where r.id = $1"#,
            run.0,
        );
        let Some(row) = timed("select", query.fetch_optional(&self.pool)).await? else {
            return Ok(None);
        };
        let query = sqlx::query!(
            r#"select e.seq, e.at, e.kind, t.key as "key?", e.data
               from event e left join task t on t.id = e.task
               where e.run = $1 and e.seq > $2 order by e.seq limit $3"#,
            run.0,
            after,
            i64::from(limit.clamp(1, PAGE)),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let events: Vec<LoggedEvent> = rows
            .into_iter()
            .map(|row| LoggedEvent {
                seq: row.seq,
                at: row.at,
                kind: row.kind,
                task: row.key.map(TaskKey),
                data: row.data,
            })
            .collect();
        let reached = events.last().map_or(after, |event| event.seq);
        let ended = run_state(&row.state)?.is_final() && !row.open && reached >= row.event_seq;
        Ok(Some(EventPage { events, ended }))
    }

    /// The number of a run's newest event; `None` where there is no such run.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn last_event(&self, run: RunId) -> Result<Option<i64>, Error> {
        let query = sqlx::query_scalar!("select event_seq from run where id = $1", run.0);
        Ok(timed("select", query.fetch_optional(&self.pool)).await?)
    }
}
