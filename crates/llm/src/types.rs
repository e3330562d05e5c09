//! Requests to models and their replies, independent of a provider's protocol.

use domain::NanoDollars;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// One message of a conversation. Stored in the journal as JSON, so variants and fields only ever grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The model's role and rules.
    System {
        /// The text.
        content: String,
    },
    /// A message to the model.
    User {
        /// The text.
        content: String,
    },
    /// An earlier reply of the model.
    Assistant {
        /// Its text, if any.
        content: Option<String>,
        /// Its tool calls; each needs a [`Message::Tool`] before the next request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// The result of one tool call.
    Tool {
        /// The id of the call.
        call_id: String,
        /// The tool's output.
        content: String,
    },
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::System {
            content: content.into(),
        }
    }

    /// A user's message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::User {
            content: content.into(),
        }
    }

    /// The result of a tool call.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Tool {
            call_id: call_id.into(),
            content: content.into(),
        }
    }
}

/// A tool call of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of this call, unique within an answer.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The arguments as the model wrote them; they should be a JSON object but are not checked.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON schema of its arguments, an object.
    pub parameters: serde_json::Value,
}

/// Which model of which configured provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelRef {
    /// The provider's name in the configuration; never an address or a key.
    pub provider: String,
    /// The model's name as the provider knows it.
    pub model: String,
}

impl ModelRef {
    /// A model of a provider.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
        }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.provider, self.model)
    }
}

/// Whether the model may, must or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// It may call a tool.
    #[default]
    Auto,
    /// It must answer in text.
    None,
    /// It must call some tool.
    Required,
    /// It must call this tool.
    Named(String),
}

/// The schema that an answer must follow.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSchema {
    /// A short name for it: letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON schema that is sent to the provider.
    pub schema: serde_json::Value,
    /// The JSON schema against which answers are validated. Not every provider enforces the schema, so this one may allow
    /// harmless differences, such as a missing optional field.
    pub accepts: serde_json::Value,
}

/// What a call's cost is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostRole {
    /// Planning and reviewing.
    Director,
    /// Doing a task.
    Worker,
    /// Resolving a merge conflict.
    Resolver,
}

impl CostRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Director, Self::Worker, Self::Resolver];

    /// The name in metrics and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Director => "director",
            Self::Worker => "worker",
            Self::Resolver => "resolver",
        }
    }
}

impl fmt::Display for CostRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One request to a model.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which model.
    pub model: ModelRef,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may call. Keep their order stable: providers cache the prefix.
    pub tools: Vec<ToolSpec>,
    /// Whether it may, must or must not use them.
    pub tool_choice: ToolChoice,
    /// The schema of the answer, if any.
    pub schema: Option<OutputSchema>,
    /// The most tokens of the answer; lowered to what the model and its window allow.
    pub max_output_tokens: u32,
    /// What the cost is counted under.
    pub role: CostRole,
    /// When the call must end, waits between retries included.
    pub deadline: Option<Instant>,
}

impl Request {
    /// A plain request: no tools, no schema, no deadline, at most 4,096 tokens of answer.
    pub fn new(model: ModelRef, role: CostRole, messages: Vec<Message>) -> Self {
        Self {
            model,
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            schema: None,
            max_output_tokens: 4_096,
            role,
            deadline: None,
        }
    }
}

/// Tokens as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens of the prompt, including cached ones.
    pub input: u64,
    /// All tokens of the answer, including reasoning.
    pub output: u64,
    /// Tokens of the prompt read from the provider's cache.
    pub cached: u64,
    /// Tokens of the prompt written to the provider's cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Tokens of the answer spent on reasoning.
    pub reasoning: u64,
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The answer is complete.
    Stop,
    /// It waits for tools.
    ToolCalls,
    /// The answer reached its limit and is incomplete.
    Length,
    /// Another reason, as the provider names it.
    Other(String),
}

impl StopReason {
    /// The name in spans.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::Other(reason) => reason,
        }
    }
}

/// The reply of a model.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its text, if any.
    pub content: Option<String>,
    /// Its tool calls.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens as reported by the provider, or else estimated from the texts.
    pub usage: Usage,
    /// Whether the provider reported [`Self::usage`].
    pub usage_reported: bool,
    /// Why it stopped.
    pub stop: StopReason,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// The cost of the call; `None` if the model has no price.
    pub cost: Option<NanoDollars>,
    /// From the first attempt to the end of the answer, waits included.
    pub duration: Duration,
    /// HTTP requests it took.
    pub attempts: u32,
}

impl Reply {
    /// The message that goes into the history for this answer.
    pub fn message(&self) -> Message {
        Message::Assistant {
            content: self.content.clone(),
            tool_calls: self.tool_calls.clone(),
        }
    }
}
