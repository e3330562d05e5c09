//! One task in full.

use crate::Task;
use domain::{feedback::Feedback, recorded::Recorded};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A task with its plan entry and the transcript of its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// The task, as in the list.
    pub task: Task,
    /// The task as the plan has it.
    pub spec: Value,
    /// What the next attempt learns about the last one.
    pub feedback: Option<Recorded<Feedback>>,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt at a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// The commit that it started from.
    pub base_commit: Option<String>,
    /// The commit it submitted.
    pub commit: Option<String>,
    /// The worker's own report.
    pub finish: Option<Value>,
    /// How it ended.
    pub end: Option<Value>,
    /// When it started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Its turns, oldest first.
    pub turns: Vec<Turn>,
}

/// A turn: an answer of the agent, with its calls.
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
    /// Input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Its cost in billionths of a dollar; null for a model without a price.
    pub cost_nanodollars: Option<i64>,
    /// The same in dollars, for display.
    pub cost_dollars: Option<f64>,
    /// When it was answered.
    #[serde(with = "time::serde::rfc3339")]
    pub answered_at: OffsetDateTime,
    /// Its tool calls, in order.
    pub tool_calls: Vec<ToolCall>,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// What it does, in a few words.
    pub summary: String,
    /// The arguments as the model wrote them, truncated where long.
    pub arguments: String,
    /// Its result, truncated where long; null while it runs, or where its process crashed.
    pub result: Option<String>,
    /// Characters of the whole result.
    pub result_characters: i32,
    /// Whether it succeeded.
    pub ok: Option<bool>,
    /// When it started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}
