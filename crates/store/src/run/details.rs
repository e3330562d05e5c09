//! What the engine reads of runs without a lock.

use super::{source, state};
use crate::{Error, Store, timed::timed};
use domain::{
    CommitId, NanoDollars, RunId,
    limits::RunLimits,
    run::{Check, RunState},
};
use serde_json::Value;
use sqlx::types::Json;

/// What an effect needs to know of its run. Read without a lock: none of it changes while an effect is under way.
#[derive(Clone, Debug)]
pub struct RunDetails {
    /// Which run.
    pub id: RunId,
    /// Where it stood when it was read.
    pub state: RunState,
    /// What is wanted.
    pub objective: String,
    /// The user's repository.
    pub workspace_path: String,
    /// The name of its hub under the data directory.
    pub hub: String,
    /// Provider and model that plan.
    pub director: (String, String),
    /// Provider and model that work.
    pub worker: (String, String),
    /// Whether files of a directory that is no repository are committed: the request asked for it.
    pub initialise: bool,
    /// The check command the request named.
    pub check_requested: Option<String>,
    /// How the merged tree is checked, once prepared.
    pub check: Option<Check>,
    /// Where everything starts, once prepared.
    pub base: Option<CommitId>,
    /// The branch the base was taken from.
    pub base_branch: Option<String>,
    /// The branch in the user's repository.
    pub branch: String,
    /// The run's terms.
    pub limits: RunLimits,
    /// The trace context of the run's root span.
    pub trace: Value,
    /// Seconds since it was submitted, up to its end.
    pub age_s: f64,
    /// When it was submitted, in seconds since 1970.
    pub began_unix_s: f64,
}

impl Store {
    /// What an effect needs to know of its run.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn run_details(&self, run: RunId) -> Result<Option<RunDetails>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select r.state, r.objective, w.path, w.hub, r.director_provider, r.director_model,
                       r.worker_provider, r.worker_model, r.check_requested, r.check_command, r.check_source, r.base,
                       r.base_branch, r.branch, r.limits as "limits: Json<RunLimits>", r.trace,
                       coalesce(r.request -> 'initialise' = 'true'::jsonb, false) as "initialise!",
                       extract(epoch from coalesce(r.ended_at, now()) - r.created_at)::float8 as "age_s!",
                       extract(epoch from r.created_at)::float8 as "began_unix_s!"
                   from run r join workspace w on w.id = r.workspace where r.id = $1"#,
                run.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        row.map(|row| {
            let check = row.check_source.as_deref().map(source).transpose()?;
            Ok(RunDetails {
                id: run,
                state: state(&row.state)?,
                objective: row.objective,
                workspace_path: row.path,
                hub: row.hub,
                director: (row.director_provider, row.director_model),
                worker: (row.worker_provider, row.worker_model),
                initialise: row.initialise,
                check_requested: row.check_requested,
                check: check.map(|source| Check {
                    command: row.check_command,
                    source,
                }),
                base: row.base.map(CommitId),
                base_branch: row.base_branch,
                branch: row.branch,
                limits: row.limits.0,
                trace: row.trace,
                age_s: row.age_s,
                began_unix_s: row.began_unix_s,
            })
        })
        .transpose()
    }

    /// The plan of a run, once it has one.
    ///
    /// # Errors
    /// When the database can't be reached, or the stored plan can't be read.
    pub async fn plan(&self, run: RunId) -> Result<Option<domain::plan::PlanDocument>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select plan as "plan: Json<domain::plan::PlanDocument>" from run where id = $1"#,
                run.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.and_then(|row| row.plan).map(|plan| plan.0))
    }

    /// Runs that are past their deadline and not at an end. One whose work has all landed is not held to it: handing
    /// that over has limits of its own.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn overdue_runs(&self) -> Result<Vec<RunId>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                "select id from run where ended_at is null and deadline_at < now() and state = any ($1) limit 100",
                &RunState::names(RunState::has_deadline),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|row| RunId(row.id)).collect())
    }

    /// How many runs have not ended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn runs_under_way(&self) -> Result<i64, Error> {
        let row = timed(
            "select",
            sqlx::query!(r#"select count(*) as "count!" from run where ended_at is null"#).fetch_one(&self.pool),
        )
        .await?;
        Ok(row.count)
    }

    /// The smallest remainder of a capped budget over the runs under way.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn smallest_budget(&self) -> Result<Option<NanoDollars>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select min(b.cap - b.spent - b.reserved) as remainder
                   from budget b join run r on r.id = b.run where r.ended_at is null and b.cap is not null"#
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(row.remainder.map(NanoDollars))
    }
}
