//! A run.

use crate::{Amount, Delivery, IntegrityFlag, schema};
use domain::{
    RunId,
    run::{CheckSource, ReasonCode, RunState},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A run that was accepted, now or by an earlier request with the same idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The run's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// The last eight digits of the id, accepted wherever an id is.
    pub short: String,
    /// Its state.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// The run's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// The last eight digits of the id, accepted wherever an id is.
    pub short: String,
    /// Its state.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// The objective.
    pub objective: String,
    /// The path of the repository it works on.
    pub workspace_path: String,
    /// The branch that the work is merged into.
    pub branch: String,
    /// The number of tasks in each state.
    pub tasks: TaskCounts,
    /// Merges that wait for a person; `GET /merges?state=waiting` lists them.
    pub merges_waiting: i64,
    /// Cost of its model calls so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// The most it may cost; null without a limit.
    pub max_cost: Option<Amount>,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it reached its final state.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// The value of `before` for the next page; null on the last page.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub next: Option<RunId>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RunId,
    /// The last eight digits of the id, accepted wherever an id is.
    pub short: String,
    /// Its state.
    #[schema(schema_with = schema::run_state)]
    pub state: RunState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// The objective.
    pub objective: String,
    /// The path of the repository it works on.
    pub workspace_path: String,
    /// The branch that the work is merged into.
    pub branch: String,
    /// The model that plans, as `provider/model`.
    pub director_model: String,
    /// The model of the workers, as `provider/model`.
    pub worker_model: String,
    /// The check command of the gate; null until the workspace is prepared.
    pub check: Option<Check>,
    /// The commit that the run starts from; null until the workspace is prepared.
    pub base_commit: Option<String>,
    /// The branch that the base commit was taken from.
    pub base_branch: Option<String>,
    /// The delivered commit; null until the branch is delivered.
    pub delivered_commit: Option<String>,
    /// What the delivery did with the checkout, in words.
    pub checkout: Option<String>,
    /// The delivery, step by step.
    #[serde(default)]
    pub delivery: Delivery,
    /// When its trees and outputs were deleted (retention); null while they are kept.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expired_at: Option<OffsetDateTime>,
    /// The version of the plan; 0 until there is one.
    pub plan_version: i32,
    /// The number of tasks in each state.
    pub tasks: TaskCounts,
    /// The number of merges that landed.
    pub merges_landed: i64,
    /// The number of all merges.
    pub merges_total: i64,
    /// Cost of its model calls so far, in billionths of a dollar.
    pub cost_nanodollars: i64,
    /// The same in dollars, for display.
    pub cost_dollars: f64,
    /// The cost in detail.
    pub cost: Cost,
    /// Landed changes that weaken the check command or that other programs execute by themselves. With any of them,
    /// the checkout is fast-forwarded only with consent.
    #[serde(default)]
    pub integrity_flags: Vec<IntegrityFlag>,
    /// Whether the checkout may be fast-forwarded despite integrity flags.
    #[serde(default)]
    pub allow_integrity_flags: bool,
    /// The number of its newest event.
    pub last_event: i64,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the run fails for lack of time.
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
    /// What happened, with which value, and what to do.
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

/// The check command that the gate runs on each merged tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The shell command; null where none is configured or detected: merges then land unchecked.
    pub command: Option<String>,
    /// Where the command comes from.
    #[schema(schema_with = schema::check_source)]
    pub source: CheckSource,
}

/// The number of tasks in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// All tasks.
    pub total: i64,
    /// Waiting for other tasks.
    pub planned: i64,
    /// Ready for a worker.
    pub ready: i64,
    /// Claimed by a worker.
    pub active: i64,
    /// In the merge queue.
    pub merging: i64,
    /// Complete: landed, or nothing had to change.
    pub complete: i64,
    /// Failed for good.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
}

/// The cost of a run so far, computed from the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Cost of answered calls.
    pub spent: Amount,
    /// Upper bounds of calls in progress.
    pub reserved: Amount,
    /// Upper bounds of calls whose answer was lost in a crash; they count towards the limit for good.
    pub lost: Amount,
    /// The most the run may cost; null without a limit.
    pub max_cost: Option<Amount>,
    /// Model calls made.
    pub calls: i64,
    /// Answered calls of models without a price; their cost is unknown and not counted.
    pub unpriced_calls: i64,
    /// Tokens used.
    pub tokens: Tokens,
    /// Cost by role: director, worker, resolver.
    pub by_role: Vec<CostLine>,
    /// Cost by model.
    pub by_model: Vec<CostLine>,
}

/// The cost of one part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostLine {
    /// The role or the model.
    pub name: String,
    /// Cost of answered calls.
    pub spent: Amount,
    /// Model calls made.
    pub calls: i64,
    /// Answered calls of models without a price.
    pub unpriced_calls: i64,
    /// Tokens used.
    pub tokens: Tokens,
}

/// Tokens, as reported by the providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Input tokens.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens that were read from a cache.
    pub cached: i64,
    /// Output tokens that were spent on reasoning.
    pub reasoning: i64,
}
