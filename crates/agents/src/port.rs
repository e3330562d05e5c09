//! What an agent needs of those who keep its records. The engine implements these on the database.

use async_trait::async_trait;
use llm::{Message, Reply, ToolCall};

/// Where an attempt is written down as it happens, and told whether to go on.
///
/// An error is a sentence for the log: the record could not be written, so the attempt ends.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The model answered. `assistant` goes into the history, and back into [`crate::worker::JournaledTurn`].
    async fn turn_answered(&self, turn: u32, answer: &Reply, assistant: &Message) -> Result<Verdict, String>;

    /// A tool is about to run; `summary` says in a few words what it is to do.
    async fn tool_intent(&self, turn: u32, call: &ToolCall, summary: &str) -> Result<Verdict, String>;

    /// A tool call is answered, whether it ran or not.
    async fn tool_result(&self, turn: u32, call_id: &str, content: &str, ok: bool) -> Result<Verdict, String>;

    /// Every call of the turn is answered: the time to keep a picture of the tree.
    async fn turn_ended(&self, turn: u32) -> Result<Verdict, String>;
}

/// What the journal says to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    GoOn,
    /// Cancelled, drained or fenced off: leave at once.
    Stop,
    /// Go on, and tell the model this before its next turn.
    Message(String),
}

/// Where planning tells how it gets on.
#[async_trait]
pub trait PlanProgress: Send + Sync {
    /// The model is about to be asked; `problems` are those of the round before.
    async fn asked(&self, round: u32, problems: &[String]);
}
