//! One task in full.

use crate::Task;
use domain::{feedback::Feedback, recorded::Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A task in full: what it was asked, and the transcript of its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// As in the list.
    pub task: Task,
    /// The task as the plan has it.
    pub spec: Value,
    /// What the next attempt is told about the last one.
    pub feedback: Option<Recorded<Feedback>>,
    /// Its attempts, from the first.
    pub attempts: Vec<Attempt>,
}

/// One try at a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// The integration tip it started from.
    pub base: Option<String>,
    /// The commit it submitted.
    pub commit: Option<String>,
    /// The worker's own report.
    pub finish: Option<Value>,
    /// How it ended.
    pub end: Option<Value>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Its turns, from the first.
    pub turns: Vec<Turn>,
}

/// One answer of the agent, with its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// From 1.
    pub number: i32,
    /// The worker backend.
    pub backend: String,
    /// What the agent said, if anything.
    pub text: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Tokens of the question.
    pub input_tokens: i64,
    /// Tokens of the answer.
    pub output_tokens: i64,
    /// What it cost, in billionths of a dollar; nothing for a model without a price.
    pub cost_nanodollars: Option<i64>,
    /// The same in dollars, for display.
    pub cost_dollars: Option<f64>,
    /// When it was answered.
    #[serde(with = "time::serde::rfc3339")]
    pub answered_at: OffsetDateTime,
    /// Its tool calls, in their order.
    pub calls: Vec<ToolCall>,
}

/// One tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// What it was to do, in a few words.
    pub summary: String,
    /// The arguments as the model wrote them, possibly cut.
    pub arguments: String,
    /// What it said, possibly cut; nothing while it runs, or where its process died.
    pub result: Option<String>,
    /// How many characters the whole result has.
    pub result_length: i32,
    /// Whether it did what was asked.
    pub ok: Option<bool>,
    /// When it was about to run.
    #[serde(with = "time::serde::rfc3339")]
    pub intended_at: OffsetDateTime,
    /// When it was done.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}
