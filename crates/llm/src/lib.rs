//! The model layer: calls to models, with timeouts, retries, prices and a ledger.
//!
//! Callers use [`types`]; provider protocols stay in this crate. Nothing else in the product uses async-openai.
//!
//! The path of a call ([`Models::complete`]): `plan` computes its upper bound, and the [`Ledger`] reserves that or refuses
//! the call. `call` makes attempts until one is answered: `failure` decides whether to retry and `retry` when. `chat` writes
//! the request and reads the answer, with `transport` for HTTP in between. `prices` computes the cost, and the ledger
//! settles it. So a dollar cap holds however many calls run at once.

pub mod types;

mod models;
mod structured;

mod call;
mod plan;
mod provider;
mod retry;
mod slots;

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
pub use slots::ProviderSlot;
pub use structured::Structured;
pub use tokens::{Estimate, estimate};
pub use types::{
    CostRole, Message, ModelRef, OutputSchema, Reply, Request, StopReason, ToolCall, ToolChoice, ToolSpec, Usage,
};
