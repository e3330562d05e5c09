//! What is said to a model and what comes back, independent of any provider's wire.

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
    /// Who the model is and what rules hold.
    System {
        /// The text.
        content: String,
    },
    /// What the model is asked.
    User {
        /// The text.
        content: String,
    },
    /// What the model said before.
    Assistant {
        /// Its text, if it said any.
        content: Option<String>,
        /// The tools it asked for; each must be answered by a [`Message::Tool`] before the next call.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// The answer to one tool call.
    Tool {
        /// Which call is answered.
        call_id: String,
        /// What the tool said.
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

    /// The answer to a tool call.
    pub fn tool(call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Tool {
            call_id: call_id.into(),
            content: content.into(),
        }
    }
}

/// A tool the model asks to have run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's name for this call, unique within an answer.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The arguments as the model wrote them: meant to be a JSON object, not checked.
    pub arguments: String,
}

/// A tool the model may ask for.
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

/// Whether the model may, must or must not ask for a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must answer in text.
    None,
    /// It must ask for some tool.
    Required,
    /// It must ask for this tool.
    Named(String),
}

/// The shape an answer must have.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSchema {
    /// A short name for it: letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON schema that the model is asked to follow.
    pub schema: serde_json::Value,
    /// The JSON schema that an answer is held to. Not every provider holds its models to the letter while they
    /// write, so this one may forgive what does no harm, such as an optional field that is missing.
    pub accepts: serde_json::Value,
}

/// On whose account a call is made.
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

    /// As metrics and the database write it.
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

/// One question to a model.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who is asked.
    pub model: ModelRef,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may ask for. Keep their order stable: providers cache the prefix.
    pub tools: Vec<ToolSpec>,
    /// Whether it may, must or must not use them.
    pub tool_choice: ToolChoice,
    /// The shape the answer must have, if any.
    pub schema: Option<OutputSchema>,
    /// The most it may answer, in tokens; lowered to what the model and its window allow.
    pub max_output_tokens: u32,
    /// On whose account.
    pub role: CostRole,
    /// When the answer is no longer of use; waits between retries count against it.
    pub deadline: Option<Instant>,
}

impl Request {
    /// A plain question: no tools, no schema, no deadline, at most 4,096 tokens of answer.
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
    /// All tokens of the question, cached ones among them.
    pub input: u64,
    /// All tokens of the answer, reasoning among them.
    pub output: u64,
    /// Tokens of the question that were read from the provider's cache.
    pub cached: u64,
    /// Tokens of the question that were written to the provider's cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Tokens of the answer spent on reasoning.
    pub reasoning: u64,
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    Stop,
    /// It waits for tools.
    ToolCalls,
    /// The answer reached its limit and is incomplete.
    Length,
    /// Something a provider invented.
    Other(String),
}

impl StopReason {
    /// As spans write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
            Self::Other(reason) => reason,
        }
    }
}

/// What a model answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its text, if it said any.
    pub content: Option<String>,
    /// The tools it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens, as reported; estimated from the texts where the provider reports none.
    pub usage: Usage,
    /// Whether the provider reported [`Self::usage`].
    pub usage_reported: bool,
    /// Why it stopped.
    pub stop: StopReason,
    /// The model that really answered, by its own word.
    pub model: String,
    /// The price of the call; `None` where the model has no price.
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
