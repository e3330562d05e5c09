//! An OpenAI-compatible server with scripted models, for the demo, tests, benchmarks and fault injection.
//!
//! It serves Chat Completions over real HTTP: complete and streamed answers, tools, structured output, usage. The first
//! [`Rule`] of a [`Scenario`] that matches the conversation determines the answer. A journal records every request. The
//! server is as strict as providers are: an invalid request is answered with 400 and recorded as a [`Violation`].
//!
//! The path of a request: [`server`](Server) reads it, `conversation` derives its context (role, task, attempt, turn),
//! `check` finds violations, `scenario` finds the rule, `journal` records the answer, and `reply` sends it: complete,
//! streamed, delayed or broken.
//!
//! It does not depend on the product: it derives everything from the messages.

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
