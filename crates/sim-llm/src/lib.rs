//! An OpenAI-compatible server that plays scripted models: for the demo, for tests, benchmarks and faults.
//!
//! It speaks Chat Completions over real HTTP (whole answers and streams, tools, structured output, usage), answers
//! by the first [`Rule`] of a [`Scenario`] that fits the conversation, keeps a journal of every request, and holds
//! its clients to what strict providers demand: a request that breaks the rules of the conversation is answered 400
//! and recorded as a [`Violation`].
//!
//! The way of one request: [`server`](Server) reads it, `conversation` derives who speaks (role, task, attempt,
//! turn), `check` looks for violations, `scenario` finds the rule, `journal` records what will be sent, and `reply`
//! sends it: whole, streamed, late or broken.
//!
//! It knows nothing of the product it serves: whatever it says about a conversation, it read from the messages.

mod server;

mod conversation;

mod check;
mod history;
mod strict_schema;
mod violation;

mod rule;
mod scenario;
mod scenario_file;
mod trivial;

pub mod answers;

mod journal;
mod reply;
mod usage;

pub use journal::{Entry, Status};
pub use rule::{Fault, Interval, Rule, ToolCall, Usage};
pub use scenario::Scenario;
pub use scenario_file::ScenarioError;
pub use server::{Options, Server};
pub use violation::{Violation, ViolationKind};
