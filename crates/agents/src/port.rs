//! What agents report while they work. The engine implements these traits on the database.
//!
//! Everything here is in the product's terms: turns, calls, results, usage and cost. How a backend talks to its model is
//! its own business; what it needs to resume travels as an opaque payload.

use async_trait::async_trait;
use domain::NanoDollars;
use llm::Usage;
use serde_json::Value;

/// Records an attempt as it happens, and tells the backend whether to continue.
///
/// An error is a sentence for the log: the record could not be written, so the attempt ends.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The agent answered. To be recorded before any call of the turn starts.
    async fn turn_answered(&self, turn: &Turn) -> Result<Verdict, String>;

    /// A call is about to run.
    async fn call_started(&self, turn: u32, call: &Call) -> Result<Verdict, String>;

    /// A call has its result, whether it ran or not.
    async fn call_ended(&self, turn: u32, call_id: &str, result: &CallResult) -> Result<Verdict, String>;

    /// Every call of the turn has its result: the worktree is snapshotted.
    async fn turn_ended(&self, turn: u32) -> Result<Verdict, String>;
}

/// One answer of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// From 1.
    pub number: u32,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// What the agent said, if anything.
    pub text: Option<String>,
    /// The tools it wants to call, in order.
    pub tools: Vec<String>,
    /// The tokens it took.
    pub usage: Usage,
    /// What it cost; `None` for a model without a price.
    pub cost: Option<NanoDollars>,
    /// What the backend needs to resume after this turn. Only the backend reads it.
    pub payload: Value,
}

/// One call of a tool or command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Unique within the turn.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// The arguments as the agent wrote them.
    pub arguments: String,
    /// What the call does, in a few words.
    pub summary: String,
    /// Whether it may change the worktree, so that its result is recorded with a snapshot.
    pub may_change_tree: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    /// What the agent is shown.
    pub content: String,
    /// Whether the call did what was requested.
    pub ok: bool,
}

/// What the journal tells a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Continue.
    Continue,
    /// The attempt was cancelled, drained or fenced off: stop at once.
    Stop,
    /// Continue, and show the agent this message before its next turn.
    Message(String),
}

/// Reports the progress of planning.
#[async_trait]
pub trait PlanProgress: Send + Sync {
    /// The model is about to be asked for a plan; `problems` are those of the round before.
    async fn asked(&self, round: u32, problems: &[String]);
}
