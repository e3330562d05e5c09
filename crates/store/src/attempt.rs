//! Attempts and their journal: answers, calls and results.
//!
//! Every write names the fence under which the attempt was claimed. With a stale fence it changes nothing and returns
//! [`Held::No`].

use crate::{
    Error, Store,
    storable::{self, document, text},
    timed::timed,
    tx::Tx,
};
use domain::{
    CommitId, Fence, NanoDollars, RunId, TaskId,
    event::Event,
    task::{AttemptEnd, TaskState},
};
use serde_json::Value;

/// Whether the attempt is still the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It was written.
    Yes,
    /// The task is held by another, was cancelled or has ended: nothing was written.
    No,
}

/// Which attempt writes, and under which fence.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Its run.
    pub run: RunId,
    /// Its task.
    pub task: TaskId,
    /// Its row.
    pub attempt: i64,
    /// The fence it was claimed under.
    pub fence: Fence,
}

/// The worker backend that wrote a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRow {
    /// Its kind.
    pub kind: String,
    /// The version of its payload format.
    pub version: u32,
}

/// An agent's answer, as it is stored.
#[derive(Clone, Debug)]
pub struct TurnRow {
    /// From 1.
    pub number: u32,
    /// The backend that reads the payload.
    pub backend: BackendRow,
    /// What the backend needs to resume after this turn.
    pub payload: Value,
    /// What the agent said, if anything.
    pub text: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Tokens of the request.
    pub input_tokens: i64,
    /// Tokens of the answer.
    pub output_tokens: i64,
    /// What it cost; `None` for an unpriced model.
    pub cost: Option<NanoDollars>,
}

/// A call, as it is stored before it runs.
#[derive(Clone, Debug)]
pub struct CallRow {
    /// Which turn.
    pub turn: u32,
    /// Unique within the turn.
    pub call_id: String,
    /// Which tool.
    pub name: String,
    /// The arguments as the agent wrote them.
    pub arguments: String,
    /// What it does, in a few words.
    pub summary: String,
}

/// The result of a call.
#[derive(Clone, Copy, Debug)]
pub struct ResultRow<'a> {
    /// Unique within the turn.
    pub call_id: &'a str,
    /// What the agent is shown.
    pub content: &'a str,
    /// Whether it did what was requested.
    pub ok: bool,
}

/// A journaled turn.
#[derive(Clone, Debug)]
pub struct ReplayedTurn {
    /// From 1.
    pub number: u32,
    /// The backend that reads the payload.
    pub backend: BackendRow,
    /// What the backend recorded.
    pub payload: Value,
    /// The calls that were started, in order.
    pub calls: Vec<ReplayedCall>,
}

/// A journaled call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedCall {
    /// Unique within its turn.
    pub id: String,
    /// Text, and whether the call did what was requested; `None` where the process stopped before.
    pub result: Option<(String, bool)>,
}

/// Where an attempt stands, for a process that goes on with it.
#[derive(Clone, Debug, Default)]
pub struct AttemptRow {
    /// The tip it started from.
    pub base: Option<CommitId>,
    /// The newest commit of its chain of snapshots.
    pub snapshot: Option<CommitId>,
    /// When it was first opened, by whichever process, in seconds since 1970.
    pub began_unix_s: f64,
}

impl Tx {
    /// Opens an attempt, or goes on with it under a new fence.
    pub(crate) async fn open_attempt(
        &mut self,
        run: RunId,
        task: TaskId,
        number: u32,
        fence: Fence,
    ) -> Result<i64, Error> {
        let row = timed(
            "insert",
            sqlx::query!(
                "insert into attempt (run, task, number, fence) values ($1, $2, $3, $4)
                 on conflict (task, number) do update
                     set fence = excluded.fence, claimed_at = now(), ended_at = null, finish_end = null
                 returning id",
                run.0,
                task.0,
                number as i32,
                fence.0,
            )
            .fetch_one(&mut *self.inner),
        )
        .await?;
        Ok(row.id)
    }

    /// Whether the writer still holds its task. Locks the run, so that the answer stays true until the commit.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn held(&mut self, writer: Writer) -> Result<Held, Error> {
        timed(
            "select",
            sqlx::query!("select id from run where id = $1 for no key update", writer.run.0)
                .fetch_optional(&mut *self.inner),
        )
        .await?;
        let row = timed(
            "select",
            sqlx::query!(
                r#"select fence = $2 and state = any ($3) as "held!" from task where id = $1"#,
                writer.task.0,
                writer.fence.0,
                &TaskState::names(TaskState::is_held),
            )
            .fetch_optional(&mut *self.inner),
        )
        .await?;
        Ok(if row.is_some_and(|row| row.held) {
            Held::Yes
        } else {
            Held::No
        })
    }

    /// Closes what is open of a task's attempts: it was taken from its worker, who could not say so.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn abandon_attempts(&mut self, task: TaskId) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update attempt set ended_at = now() where task = $1 and ended_at is null",
                task.0
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Closes an attempt: how it ended, and the worker's own report.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn close_attempt(
        &mut self,
        attempt: i64,
        end: &AttemptEnd,
        commit: Option<&CommitId>,
        finish: Option<&Value>,
    ) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update attempt set finish_end = $2, commit = coalesce($3, commit), finish = coalesce($4, finish),
                     ended_at = now() where id = $1",
                attempt,
                document("attempt.finish_end", end)?,
                commit.map(|commit| commit.0.as_str()),
                finish.map(storable::json),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        // Fairness between runs is in worker-seconds over weight.
        timed(
            "update",
            sqlx::query!(
                "update run r set vtime = vtime + extract(epoch from now() - a.claimed_at)::float8 / r.weight
                 from attempt a where a.id = $1 and r.id = a.run",
                attempt,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// Records an answer with its event.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn record_turn(&self, writer: Writer, turn: &TurnRow, event: Event) -> Result<Held, Error> {
        let mut tx = self.begin().await?;
        if tx.held(writer).await? == Held::No {
            return Ok(Held::No);
        }
        let said = turn.text.as_deref().map(text);
        let inserted = timed(
            "insert",
            sqlx::query!(
                "insert into turn (attempt, number, backend, backend_version, payload, text, model, input_tokens,
                     output_tokens, cost)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing",
                writer.attempt,
                turn.number as i32,
                turn.backend.kind,
                turn.backend.version as i32,
                storable::json(&turn.payload),
                said.as_deref(),
                &*text(&turn.model),
                turn.input_tokens,
                turn.output_tokens,
                turn.cost.map(|cost| cost.0),
            )
            .execute(&mut *tx.inner),
        )
        .await?;
        // A retry whose first try was committed finds its row and its event there.
        if inserted.rows_affected() == 1 {
            tx.append(writer.run, &[(Some(writer.task), event)]).await?;
        }
        tx.commit().await?;
        Ok(Held::Yes)
    }

    /// Records that a call is about to run.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn record_call(&self, writer: Writer, call: &CallRow, event: Event) -> Result<Held, Error> {
        let mut tx = self.begin().await?;
        if tx.held(writer).await? == Held::No {
            return Ok(Held::No);
        }
        let inserted = timed(
            "insert",
            sqlx::query!(
                "insert into tool_call (attempt, turn, ordinal, call_id, name, arguments, summary)
                 select $1, $2, (select count(*) from tool_call where attempt = $1 and turn = $2), $3, $4, $5, $6
                 where not exists (select 1 from tool_call where attempt = $1 and turn = $2 and call_id = $3)",
                writer.attempt,
                call.turn as i32,
                &*text(&call.call_id),
                &*text(&call.name),
                &*text(&call.arguments),
                &*text(&call.summary),
            )
            .execute(&mut *tx.inner),
        )
        .await?;
        if inserted.rows_affected() == 1 {
            tx.append(writer.run, &[(Some(writer.task), event)]).await?;
        }
        tx.commit().await?;
        Ok(Held::Yes)
    }

    /// Records the result of a call, and the snapshot with its changes. A call that was never started has no row; then only
    /// the fence is checked.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn record_result(
        &self,
        writer: Writer,
        turn: u32,
        result: &ResultRow<'_>,
        snapshot: Option<&CommitId>,
    ) -> Result<Held, Error> {
        let row = timed(
            "update",
            sqlx::query!(
                r#"with held as (
                       select 1 from task t where t.id = $6 and t.fence = $7 and t.state = any ($9)),
                   snapshotted as (
                       update attempt set snapshot = $8
                       where id = $1 and $8::text is not null and exists (select 1 from held)),
                   answered as (
                       update tool_call set result = $4, ok = $5, ended_at = now()
                       where attempt = $1 and turn = $2 and call_id = $3 and result is null
                         and exists (select 1 from held))
                   select exists (select 1 from held) as "held!""#,
                writer.attempt,
                turn as i32,
                &*text(result.call_id),
                &*text(result.content),
                result.ok,
                writer.task.0,
                writer.fence.0,
                snapshot.map(|commit| commit.0.as_str()),
                &TaskState::names(TaskState::is_held),
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(if row.held { Held::Yes } else { Held::No })
    }

    /// Records that every call of a turn has its result, and the snapshot of the tree, if it has changed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn end_turn(&self, writer: Writer, turn: u32, snapshot: Option<&CommitId>) -> Result<Held, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "with held as (
                     select 1 from task t where t.id = $4 and t.fence = $5 and t.state = any ($6)),
                 snapshotted as (
                     update attempt set snapshot = $3
                     where id = $1 and $3::text is not null and exists (select 1 from held))
                 update turn set ended_at = now() where attempt = $1 and number = $2 and exists (select 1 from held)",
                writer.attempt,
                turn as i32,
                snapshot.map(|commit| commit.0.as_str()),
                writer.task.0,
                writer.fence.0,
                &TaskState::names(TaskState::is_held),
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(if done.rows_affected() > 0 { Held::Yes } else { Held::No })
    }

    /// Notes the tip an attempt starts from, unless it is noted already.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_attempt_base(&self, attempt: i64, base: &CommitId) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update attempt set base = coalesce(base, $2) where id = $1",
                attempt,
                base.0
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Where an attempt stands.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn attempt(&self, attempt: i64) -> Result<AttemptRow, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select base, snapshot, extract(epoch from started_at)::float8 as "began_unix_s!"
                   from attempt where id = $1"#,
                attempt
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(AttemptRow {
            base: row.base.map(CommitId),
            snapshot: row.snapshot.map(CommitId),
            began_unix_s: row.began_unix_s,
        })
    }

    /// What the last try before this one left: its submission, else its last snapshot.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn previous_work(&self, task: TaskId, attempt: u32) -> Result<Option<CommitId>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                "select coalesce(commit, snapshot) as work from attempt
                 where task = $1 and number < $2 order by number desc limit 1",
                task.0,
                attempt as i32,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.and_then(|row| row.work).map(CommitId))
    }

    /// The turns of an attempt, oldest first.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn replay(&self, attempt: i64) -> Result<Vec<ReplayedTurn>, Error> {
        let turns = timed(
            "select",
            sqlx::query!(
                "select number, backend, backend_version, payload from turn where attempt = $1 order by number",
                attempt
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let calls = timed(
            "select",
            sqlx::query!(
                "select turn, call_id, result, ok from tool_call where attempt = $1 order by turn, ordinal",
                attempt
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let calls = |number: i32| {
            let own = calls.iter().filter(|call| call.turn == number);
            let replayed = own.map(|call| ReplayedCall {
                id: call.call_id.clone(),
                result: call.result.clone().map(|text| (text, call.ok.unwrap_or(true))),
            });
            replayed.collect()
        };
        Ok(turns
            .into_iter()
            .map(|turn| ReplayedTurn {
                calls: calls(turn.number),
                number: turn.number as u32,
                backend: BackendRow {
                    kind: turn.backend,
                    version: turn.backend_version as u32,
                },
                payload: turn.payload,
            })
            .collect())
    }
}
