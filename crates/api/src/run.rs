//! A run.

use crate::{Amount, Delivery, IntegrityFlag, schema};
use domain::{
    RunId,
    run::{CheckSource, ReasonCode, RunState},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A run that was accepted, now or by an earlier request under the same idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Which run.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// Its last eight digits, which name it wherever an id is asked for.
    pub short: String,
    /// Where it stands.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
}

/// A run, as a line of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Which run.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// Its last eight digits, which name it wherever an id is asked for.
    pub short: String,
    /// Where it stands.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// What was asked for.
    pub objective: String,
    /// The repository it works on.
    pub workspace_path: String,
    /// The branch that receives the work.
    pub branch: String,
    /// Its tasks by state.
    pub tasks: TaskCounts,
    /// Merges that wait for a person: `GET /merges?state=waiting` lists them.
    pub merges_waiting: i64,
    /// What its calls to models cost so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// What it may cost; nothing where there is no cap.
    pub max_cost: Option<Amount>,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it reached its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// Some runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// What to pass as `before` for the next page; nothing at the end.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub next: Option<RunId>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Which run.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// Its last eight digits, which name it wherever an id is asked for.
    pub short: String,
    /// Where it stands.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// What was asked for.
    pub objective: String,
    /// The repository it works on.
    pub workspace_path: String,
    /// The branch that receives the work.
    pub branch: String,
    /// Provider and model that plan, as `provider/model`.
    pub director_model: String,
    /// Provider and model that work, as `provider/model`.
    pub worker_model: String,
    /// How the merged tree is checked; nothing until the workspace is prepared.
    pub check: Option<Check>,
    /// The commit that everything starts from; nothing until the workspace is prepared.
    pub base: Option<String>,
    /// The branch the base was taken from.
    pub base_branch: Option<String>,
    /// The commit that was handed over.
    pub delivered_commit: Option<String>,
    /// What was done with the checkout, in words.
    pub checkout: Option<String>,
    /// How its work was handed over, step by step.
    #[serde(default)]
    pub delivery: Delivery,
    /// When its trees and outputs were given up; nothing while they are kept.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expired_at: Option<OffsetDateTime>,
    /// 0 until there is a plan.
    pub plan_version: i32,
    /// Its tasks by state.
    pub tasks: TaskCounts,
    /// Merges that landed.
    pub merges_landed: i64,
    /// All merges.
    pub merges: i64,
    /// What its calls to models cost so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// The cost in full.
    pub cost: Cost,
    /// What landed that weakens the check or runs by itself elsewhere. A run that has any moves the checkout only with
    /// consent.
    #[serde(default)]
    pub integrity_flags: Vec<IntegrityFlag>,
    /// Whether the checkout may be fast-forwarded in spite of them.
    #[serde(default)]
    pub allow_integrity_flags: bool,
    /// The number of its newest event.
    pub last_event: i64,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its time is up.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline_at: OffsetDateTime,
    /// When it reached its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// Why something ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The kind of failure.
    #[schema(schema_with = schema::reason_code)]
    pub code: ReasonCode,
    /// What happened, with the value and the way out.
    pub message: String,
}

impl From<domain::run::Reason> for Reason {
    fn from(reason: domain::run::Reason) -> Self {
        Self {
            code: reason.code,
            message: reason.message,
        }
    }
}

/// How a merged tree is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The shell command; nothing where none is configured or detected, so that merges land unchecked.
    pub command: Option<String>,
    /// Where the command comes from.
    #[schema(schema_with = schema::check_source)]
    pub source: CheckSource,
}

/// How many tasks stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// All of them.
    pub total: i64,
    /// They wait for others.
    pub planned: i64,
    /// They can be claimed.
    pub ready: i64,
    /// A worker holds them.
    pub active: i64,
    /// Their work is in the merge queue.
    pub merging: i64,
    /// Their work has landed.
    pub complete: i64,
    /// They failed for good.
    pub failed: i64,
    /// They will not be done.
    pub cancelled: i64,
}

/// What a run cost so far, computed from the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Settled cost of answered calls.
    pub spent: Amount,
    /// Upper bounds of calls under way.
    pub reserved: Amount,
    /// Upper bounds of calls whose answer was lost with their process; held against the cap for good.
    pub lost: Amount,
    /// What the run may cost; nothing where there is no cap.
    pub cap: Option<Amount>,
    /// Calls made.
    pub calls: i64,
    /// Answered calls whose model has no price: their cost is not known and not counted.
    pub unpriced_calls: i64,
    /// Tokens used.
    pub tokens: Tokens,
    /// By role: director, worker, resolver.
    pub by_role: Vec<CostLine>,
    /// By the model that answered.
    pub by_model: Vec<CostLine>,
}

/// The cost of one part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostLine {
    /// A role or a model.
    pub name: String,
    /// Settled cost.
    pub spent: Amount,
    /// Calls made.
    pub calls: i64,
    /// Answered calls whose model has no price.
    pub unpriced_calls: i64,
    /// Tokens used.
    pub tokens: Tokens,
}

/// Tokens as the providers report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Of the questions.
    pub input: i64,
    /// Of the answers.
    pub output: i64,
    /// Part of the input: read from a cache.
    pub cached: i64,
    /// Part of the output: spent on reasoning.
    pub reasoning: i64,
}
