//! Runs: their rows, and the row lock that every change of a run begins with.

mod delivery;
mod details;

pub use details::RunDetails;

use crate::{
    Error,
    storable::{self, document, text, worked_with},
    timed::timed,
    tx::Tx,
};
use domain::{
    CommitId, RunId,
    limits::RunLimits,
    run::{Check, CheckSource, Reason, Run, RunState, Tries},
};
use serde_json::Value;
use sqlx::types::Json;

/// A run as it is first saved.
#[derive(Clone, Debug)]
pub struct NewRunRow {
    /// Its identity.
    pub id: RunId,
    /// A repeat under this key returns this run.
    pub idempotency_key: Option<String>,
    /// The request, for a repeat to be compared with.
    pub request: Value,
    /// The user's repository, canonical.
    pub workspace_path: String,
    /// The name of its hub, should it be new.
    pub hub: String,
    /// What is wanted.
    pub objective: String,
    /// Provider and model that plan.
    pub director: (String, String),
    /// Provider and model that work.
    pub worker: (String, String),
    /// The check command the request named.
    pub check_requested: Option<String>,
    /// The run's terms.
    pub limits: RunLimits,
    /// The branch in the user's repository.
    pub branch: String,
    /// The trace context of the run's root span.
    pub trace: Value,
    /// Whether the user's checkout may be moved although the run has integrity flags.
    pub allow_integrity_flags: bool,
}

/// What became of a request to save a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// The run was made.
    New,
    /// The key had made this run before, for this request.
    Earlier {
        /// Which run.
        id: RunId,
        /// Where it stands.
        state: RunState,
        /// The request it was made for.
        request: Value,
    },
    /// As many runs are unfinished as there may be.
    TooMany {
        /// So many.
        open: i64,
    },
}

/// The advisory lock under which runs are counted and added: an arbitrary number, the same in every version.
const ADMISSION_LOCK: i64 = 0x6f72_6368_7275_6e73;

impl Tx {
    /// Saves a new run with its workspace and budget.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn insert_run(&mut self, new: &NewRunRow) -> Result<Saved, Error> {
        if let Some(key) = &new.idempotency_key
            && let Some(earlier) = self.run_of_key(key).await?
        {
            return Ok(earlier);
        }
        let open = self.unfinished_runs().await?;
        if open >= i64::from(new.limits.open_runs) {
            return Ok(Saved::TooMany { open });
        }
        let workspace = self.workspace(&new.workspace_path, &new.hub).await?;
        let inserted = timed(
            "insert",
            sqlx::query!(
                "insert into run (id, idempotency_key, request, workspace, objective, director_provider,
                     director_model, worker_provider, worker_model, check_requested, limits, branch, trace, max_active,
                     deadline_at, allow_integrity_flags, vtime, state)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                     now() + make_interval(secs => $15), $16,
                     coalesce((select min(vtime) from run where ended_at is null), 0), $17)
                 on conflict (idempotency_key) do nothing",
                new.id.0,
                new.idempotency_key,
                storable::json(&new.request),
                workspace,
                &*text(&new.objective),
                new.director.0,
                new.director.1,
                new.worker.0,
                new.worker.1,
                new.check_requested
                    .as_deref()
                    .map(|check| worked_with(check).into_owned()),
                Json(&new.limits) as _,
                new.branch,
                new.trace,
                i64::from(new.limits.active_tasks),
                new.limits.run_s as f64,
                new.allow_integrity_flags,
                RunState::Planning.as_str(),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        if inserted.rows_affected() == 0 {
            // Another request under the same key was saved between the look and the insert.
            let key = new.idempotency_key.as_deref().unwrap_or_default();
            return self
                .run_of_key(key)
                .await?
                .ok_or_else(|| Error::corrupt("idempotency_key", key));
        }
        timed(
            "insert",
            sqlx::query!(
                "insert into budget (run, cap) values ($1, $2)",
                new.id.0,
                new.limits.cost_nanodollars.map(|cap| cap.0),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(Saved::New)
    }

    /// Runs that have not ended. Until this transaction does, no other one adds any.
    async fn unfinished_runs(&mut self) -> Result<i64, Error> {
        timed(
            "select",
            sqlx::query!("select pg_advisory_xact_lock($1)", ADMISSION_LOCK).fetch_one(&mut *self.inner),
        )
        .await?;
        let open = timed(
            "select",
            sqlx::query_scalar!(r#"select count(*) as "open!" from run where ended_at is null"#)
                .fetch_one(&mut *self.inner),
        );
        Ok(open.await?)
    }

    async fn run_of_key(&mut self, key: &str) -> Result<Option<Saved>, Error> {
        let row = timed(
            "select",
            sqlx::query!("select id, state, request from run where idempotency_key = $1", key)
                .fetch_optional(&mut *self.inner),
        )
        .await?;
        row.map(|row| {
            Ok(Saved::Earlier {
                id: RunId(row.id),
                state: state(&row.state)?,
                request: row.request,
            })
        })
        .transpose()
    }

    async fn workspace(&mut self, path: &str, hub: &str) -> Result<i64, Error> {
        // The update that changes nothing makes the row come back in either case.
        let row = timed(
            "insert",
            sqlx::query!(
                "insert into workspace (path, hub) values ($1, $2)
                 on conflict (path) do update set path = excluded.path returning id",
                path,
                hub,
            )
            .fetch_one(&mut *self.inner),
        )
        .await?;
        Ok(row.id)
    }

    /// Locks the run's row for the rest of the transaction. Every change of a run begins here.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn lock_run(&mut self, run: RunId) -> Result<Option<Run>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select state, open, active, ready, failed, base, reason as "reason: Json<Reason>",
                       limits as "limits: Json<RunLimits>"
                   from run where id = $1 for no key update"#,
                run.0,
            )
            .fetch_optional(&mut *self.inner),
        )
        .await?;
        row.map(|row| {
            Ok(Run {
                id: run,
                state: state(&row.state)?,
                open: row.open,
                active: row.active,
                ready: row.ready,
                failed: row.failed,
                reason: row.reason.map(|reason| reason.0),
                base: row.base.map(CommitId),
                tries: Tries {
                    failures: row.limits.failures,
                    crashes: row.limits.crashes,
                },
            })
        })
        .transpose()
    }

    /// Saves what a decision changed of the run's row.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_run(&mut self, run: &Run) -> Result<(), Error> {
        let reason = run
            .reason
            .as_ref()
            .map(|reason| document("run.reason", reason))
            .transpose()?;
        timed(
            "update",
            sqlx::query!(
                "update run set state = $2, open = $3, active = $4, ready = $5, failed = $6, reason = $7,
                     ended_at = case when $8 then coalesce(ended_at, now()) end
                 where id = $1",
                run.id.0,
                run.state.as_str(),
                run.open,
                run.active,
                run.ready,
                run.failed,
                reason,
                run.state.is_final(),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Saves where the run starts and how its trees are checked.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_prepared(
        &mut self,
        run: RunId,
        base: &CommitId,
        base_branch: &str,
        check: &Check,
    ) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update run set base = $2, base_branch = $3, check_command = $4, check_source = $5 where id = $1",
                run.0,
                base.0,
                base_branch,
                check.command,
                check.source.as_str(),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Saves the plan document.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_plan(&mut self, run: RunId, plan: &domain::plan::PlanDocument) -> Result<(), Error> {
        let plan = document("run.plan", plan)?;
        timed(
            "update",
            sqlx::query!(
                "update run set plan = $2, plan_version = plan_version + 1 where id = $1",
                run.0,
                plan,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Saves what was delivered, and what was done with the user's checkout.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_delivered(&mut self, run: RunId, commit: &CommitId, checkout: &str) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update run set delivered_commit = $2, checkout = $3 where id = $1",
                run.0,
                commit.0,
                &*text(checkout),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

/// Reads a state's name.
pub(crate) fn state(text: &str) -> Result<RunState, Error> {
    RunState::parse(text).ok_or_else(|| Error::corrupt("run.state", text))
}

fn source(text: &str) -> Result<CheckSource, Error> {
    CheckSource::parse(text).ok_or_else(|| Error::corrupt("run.check_source", text))
}
