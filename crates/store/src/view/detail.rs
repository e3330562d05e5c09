//! One run, with everything but its tasks, merges and events.

use super::{Cost, IntegrityFlagView, RunSummary, Views};
use crate::{Error, timed::timed};
use domain::{
    CommitId, RunId,
    delivery::Delivery,
    effect::EffectKind,
    limits::RunLimits,
    merge::MergeState,
    run::{Check, CheckSource},
};
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

/// Everything about a run but its tasks, merges and events.
#[derive(Clone, Debug)]
pub struct RunDetail {
    /// As in the list.
    pub summary: RunSummary,
    /// Provider and model that plan.
    pub director: (String, String),
    /// Provider and model that work.
    pub worker: (String, String),
    /// How the merged tree is checked, once prepared.
    pub check: Option<Check>,
    /// Where everything starts, once prepared.
    pub base: Option<CommitId>,
    /// The branch the base was taken from.
    pub base_branch: Option<String>,
    /// The commit that was handed over.
    pub delivered: Option<CommitId>,
    /// What was done with the user's checkout, in words.
    pub checkout: Option<String>,
    /// What came of each step of handing the work over.
    pub delivery: Delivery,
    /// The delivery that waits or is under way.
    pub delivering: Option<Delivering>,
    /// When its trees and outputs were given up.
    pub expired_at: Option<OffsetDateTime>,
    /// 0 until there is a plan.
    pub plan_version: i32,
    /// The run's terms.
    pub limits: RunLimits,
    /// When its time is up.
    pub deadline_at: OffsetDateTime,
    /// Merges that ended in the branch, and all of them.
    pub merges: (i64, i64),
    /// The number of its newest event.
    pub last_event: i64,
    /// What it cost.
    pub cost: Cost,
    /// The integrity flags of what landed.
    pub integrity_flags: Vec<IntegrityFlagView>,
    /// Whether the user's checkout may be moved in spite of them.
    pub allow_integrity_flags: bool,
}

/// A delivery that waits or is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivering {
    /// How often it was begun.
    pub tries: i32,
    /// When it is tried again, where it waits for that.
    pub again_at: Option<OffsetDateTime>,
}

impl Views {
    /// One run; `None` where there is none.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn run(&self, run: RunId) -> Result<Option<RunDetail>, Error> {
        let Some(summary) = self.run_summary(run).await? else {
            return Ok(None);
        };
        let query = sqlx::query!(
            r#"select director_provider, director_model, worker_provider, worker_model, check_command, check_source,
                   base, base_branch, delivered_commit, checkout, delivery as "delivery: Json<Delivery>", expired_at, plan_version, 
                   limits as "limits: Json<RunLimits>", deadline_at, event_seq,
                   allow_integrity_flags,
                   (select count(*) from merge where run = $1) as "merges!",
                   (select count(*) from merge where run = $1 and state = $2) as "landed!"
               from run where id = $1"#,
            run.0,
            MergeState::Landed.as_str(),
        );
        let row = timed("select", query.fetch_one(&self.pool)).await?;
        let check = match row.check_source {
            Some(source) => Some(Check {
                command: row.check_command,
                source: check_source(source)?,
            }),
            None => None,
        };
        Ok(Some(RunDetail {
            summary,
            director: (row.director_provider, row.director_model),
            worker: (row.worker_provider, row.worker_model),
            check,
            base: row.base.map(CommitId),
            base_branch: row.base_branch,
            delivered: row.delivered_commit.map(CommitId),
            checkout: row.checkout,
            delivery: row.delivery.0,
            delivering: self.delivering(run).await?,
            expired_at: row.expired_at,
            plan_version: row.plan_version,
            limits: row.limits.0,
            deadline_at: row.deadline_at,
            merges: (row.landed, row.merges),
            last_event: row.event_seq,
            cost: self.cost(run).await?,
            integrity_flags: self.landed_flags(run).await?,
            allow_integrity_flags: row.allow_integrity_flags,
        }))
    }

    async fn landed_flags(&self, run: RunId) -> Result<Vec<IntegrityFlagView>, Error> {
        let mut flags = self.integrity_flags(run).await?;
        flags.retain(|flag| flag.state == MergeState::Landed);
        Ok(flags)
    }

    async fn delivering(&self, run: RunId) -> Result<Option<Delivering>, Error> {
        let query = sqlx::query!(
            "select tries, case when wake_at > now() then wake_at end as again_at
             from effect where run = $1 and kind = $2 and done_at is null",
            run.0,
            EffectKind::Deliver.as_str(),
        );
        let row = timed("select", query.fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| Delivering {
            tries: row.tries,
            again_at: row.again_at,
        }))
    }

    /// The plan as the director wrote it and the checks repaired it; `None` until there is one.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn plan(&self, run: RunId) -> Result<Option<Value>, Error> {
        let query = sqlx::query_scalar!("select plan from run where id = $1", run.0);
        let plan = timed("select", query.fetch_optional(&self.pool)).await?;
        Ok(plan.flatten())
    }
}

fn check_source(text: String) -> Result<CheckSource, Error> {
    CheckSource::parse(&text).ok_or_else(|| Error::corrupt("run.check_source", &text))
}
