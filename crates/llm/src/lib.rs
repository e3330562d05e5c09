//! The model layer: one call to a model, with its timeouts, retries, price and place in the ledger.
//!
//! Everything above speaks in the types of [`types`]; what a provider's wire looks like stays in here. Nothing
//! else in the product names async-openai. A call is reserved in a [`Ledger`] before it is sent and settled after
//! it was answered, so that a dollar cap holds however many calls run at once.

pub mod types;

pub mod error;
pub mod ledger;

pub use error::{Error, TimeoutKind};
pub use ledger::{CallId, CallOutcome, CallStatus, Ledger, PlannedCall, Refusal};
pub use types::{
    CostRole, Message, ModelRef, OutputSchema, Reply, Request, StopReason, ToolCall, ToolChoice,
    ToolSpec, Usage,
};
