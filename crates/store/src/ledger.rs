//! The ledger: money is reserved before a model is called and settled after, in one place.

use crate::{Error, Holder, Store, storable::text, timed::timed};
use domain::{NanoDollars, RunId, TaskId, money::CallState, run::Spending};

/// A call that is about to be made.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// On whose account.
    pub run: RunId,
    /// For which task, if for one.
    pub task: Option<TaskId>,
    /// For which attempt, if for one.
    pub attempt: Option<i64>,
    /// `director`, `worker` or `resolver`.
    pub role: &'static str,
    /// The provider's name.
    pub provider: String,
    /// The model that is asked.
    pub model: String,
    /// The most it can cost; nothing for an unpriced model.
    pub upper_bound: NanoDollars,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The call may be made.
    Yes(i64),
    /// The run's cap does not allow it.
    OverCap(Spending),
    /// The run has ended.
    Ended,
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// `success`, `error`, …
    pub status: String,
    /// The model that answered.
    pub model: Option<String>,
    /// What it cost; `None` for an unpriced model, or where nothing was answered.
    pub cost: Option<NanoDollars>,
    /// Tokens of the question, of the answer, read from a cache, spent on reasoning.
    pub tokens: Option<[i64; 4]>,
    /// HTTP requests it took.
    pub requests: i32,
    /// Milliseconds from the first request to the end of the answer.
    pub duration_ms: i64,
    /// Milliseconds to the first token.
    pub first_token_ms: Option<i64>,
    /// What went wrong, without secrets.
    pub error: Option<String>,
}

impl Store {
    /// Reserves the most a call can cost, if the run's cap allows it.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn reserve(&self, holder: Holder, call: &Reservation) -> Result<Reserved, Error> {
        let mut tx = self.begin().await?;
        let granted = timed(
            "update",
            sqlx::query!(
                "update budget set reserved = reserved + $2
                 where run = $1 and (cap is null or spent + reserved + $2 <= cap)
                   and exists (select 1 from run where id = $1 and ended_at is null)",
                call.run.0,
                call.upper_bound.0,
            )
            .execute(&mut *tx.inner),
        )
        .await?;
        if granted.rows_affected() == 0 {
            drop(tx);
            return self.why_refused(call.run).await;
        }
        let row = timed(
            "insert",
            sqlx::query!(
                "insert into model_call (run, task, attempt, role, provider, model_requested, reserved, process, epoch,
                     state)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id",
                call.run.0,
                call.task.map(|task| task.0),
                call.attempt,
                call.role,
                call.provider,
                call.model,
                call.upper_bound.0,
                holder.process.0,
                holder.epoch.0,
                CallState::Reserved.as_str(),
            )
            .fetch_one(&mut *tx.inner),
        )
        .await?;
        tx.commit().await?;
        Ok(Reserved::Yes(row.id))
    }

    async fn why_refused(&self, run: RunId) -> Result<Reserved, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select b.cap, b.spent, b.reserved, r.ended_at is not null as "ended!"
                   from budget b join run r on r.id = b.run where b.run = $1"#,
                run.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(match row {
            Some(row) if !row.ended => Reserved::OverCap(Spending {
                spent: NanoDollars(row.spent),
                reserved: NanoDollars(row.reserved),
                cap: row.cap.map(NanoDollars),
            }),
            Some(_) | None => Reserved::Ended,
        })
    }

    /// Settles a call: the reservation is given back and what was really spent takes its place. Settling twice
    /// changes nothing; a call that was taken for lost, and is answered after all, is settled like any other.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn settle(&self, call: i64, settlement: &Settlement) -> Result<(), Error> {
        let tokens = settlement.tokens;
        timed(
            "update",
            sqlx::query!(
                "with settled as (
                     update model_call set state = $13, status = $2, model = $3, cost = $4, input_tokens = $5,
                         output_tokens = $6, cached_tokens = $7, reasoning_tokens = $8, requests = $9,
                         duration_ms = $10, first_token_ms = $11, error = $12, settled_at = now()
                     where id = $1 and state = any ($14) returning run, reserved)
                 update budget b set reserved = b.reserved - s.reserved, spent = b.spent + coalesce($4, 0)
                 from settled s where b.run = s.run",
                call,
                settlement.status,
                settlement.model,
                settlement.cost.map(|cost| cost.0),
                tokens.map(|tokens| tokens[0]),
                tokens.map(|tokens| tokens[1]),
                tokens.map(|tokens| tokens[2]),
                tokens.map(|tokens| tokens[3]),
                settlement.requests,
                settlement.duration_ms,
                settlement.first_token_ms,
                settlement.error.as_deref().map(|error| text(error).into_owned()),
                CallState::Settled.as_str(),
                &CallState::names(CallState::can_be_settled),
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Marks one call as lost: the provider took it, and nobody knows what it cost. Its reservation stays held.
    /// `requests` and `duration_ms` are what it took all the same.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn lose_call(&self, call: i64, error: &str, requests: i32, duration_ms: i64) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update model_call set state = $5, status = $5, settled_at = now(), error = $2,
                     requests = $3, duration_ms = $4
                 where id = $1 and settled_at is null",
                call,
                &*text(error),
                requests,
                duration_ms,
                CallState::Lost.as_str(),
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Marks the calls of an attempt that were dropped in the middle as lost. The attempt has ended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn lose_calls_of(&self, attempt: i64) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update model_call set state = $2, status = $2, settled_at = now(),
                     error = 'the call was dropped before its answer'
                 where attempt = $1 and settled_at is null",
                attempt,
                CallState::Lost.as_str(),
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Marks calls of dead processes as lost; the caller's own are none of them. Nobody knows what they cost, so
    /// their reservations stay held against the cap: the bill can't surprise.
    ///
    /// Returns the sum of the upper bounds of the calls that were marked now.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn lose_calls(&self, holder: Holder) -> Result<NanoDollars, Error> {
        let row = timed(
            "update",
            sqlx::query!(
                r#"with lost as (
                       update model_call m set state = $3, status = $3, settled_at = now(),
                           error = 'the process died before the answer was recorded'
                       where m.settled_at is null and (m.process, m.epoch) is distinct from ($1, $2) and not exists (
                           select 1 from process p
                           where p.id = m.process and p.epoch = m.epoch and p.expires_at >= now())
                       returning m.reserved)
                   select coalesce(sum(reserved), 0)::bigint as "lost!" from lost"#,
                holder.process.0,
                holder.epoch.0,
                CallState::Lost.as_str(),
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(NanoDollars(row.lost))
    }
}
