//! The model layer: one call to a model, with its timeouts, retries, price and place in the ledger.
//!
//! Everything above speaks in the types of [`types`]; what a provider's wire looks like stays in here. Nothing
//! else in the product names async-openai.
//!
//! The way of a call ([`Models::complete`]): `plan` works out the most it can take, the [`Ledger`] sets that aside
//! or refuses, `call` makes attempts until one is answered (`retry` says when, `failure` says whether), `chat`
//! writes the question and reads the answer, `transport` is the HTTP request in between, `prices` says what it
//! cost, and the ledger is told. A dollar cap therefore holds however many calls run at once.

pub mod types;

mod models;
mod structured;

mod call;
mod plan;
mod provider;
mod retry;

mod chat;
mod transport;

mod events;
mod failure;
mod retry_after;

pub mod error;
pub mod ledger;
pub mod prices;
pub mod recorded;
pub mod settings;
pub mod tokens;

pub use error::{Error, TimeoutKind};
pub use ledger::{CallId, CallOutcome, CallStatus, Ledger, PlannedCall, Refusal};
pub use models::Models;
pub use prices::{ModelFacts, Prices, StructuredBy};
pub use settings::{OutputLimit, Provider, ProviderConfig, Retries, Secret, Settings, Timeouts, Wire};
pub use structured::Structured;
pub use tokens::{Estimate, estimate};
pub use types::{
    CostRole, Message, ModelRef, OutputSchema, Reply, Request, StopReason, ToolCall, ToolChoice, ToolSpec, Usage,
};
