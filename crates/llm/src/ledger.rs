//! The ledger port, through which every call is paid. The engine implements it on the database.

use crate::{
    slots::ProviderSlot,
    types::{CostRole, Usage},
};
use async_trait::async_trait;
use domain::NanoDollars;
use std::time::Duration;

/// Reserves the cost of calls before they are sent, and settles it afterwards.
///
/// A call whose future is dropped is never settled: its reservation stays, because the provider may bill it.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Reserves the call's upper bound; the error says why the call is refused.
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal>;

    /// Replaces the reservation by the call's outcome. The error is a sentence for the log.
    async fn settle(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String>;

    /// Called when a call will be retried after a wait, so that people see what it waits for. `why` is a short stable
    /// name such as `rate_limited`.
    fn retrying(&self, call: CallId, why: &'static str, wait: Duration) {
        let _ = (call, why, wait);
    }

    /// Takes a slot that was [acquired](crate::Models::slot) ahead of the call.
    fn take_slot(&self) -> Option<ProviderSlot> {
        None
    }

    /// Called when a request has to wait because all slots of its provider are in use. [`Self::slot_acquired`] follows,
    /// unless the call ends first.
    fn slot_wait_started(&self, provider: &str) {
        let _ = provider;
    }

    /// Called when a request that had to wait has its slot.
    fn slot_acquired(&self) {}
}

/// The ledger's number of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub i64);

/// A call that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// The provider's name.
    pub provider: String,
    /// The requested model.
    pub model: String,
    /// What the cost is counted under.
    pub role: CostRole,
    /// The most an answer can cost; `None` if the model has no price.
    pub upper_bound: Option<NanoDollars>,
    /// A high estimate of the prompt's tokens.
    pub input_estimate: u64,
    /// The most tokens the answer may have.
    pub max_output: u64,
}

/// Why a call may not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It could exceed the dollar cap.
    #[error(
        "the budget of {limit} does not cover another call: {spent} spent, {reserved} reserved by running calls, this one \
         may cost {asked}; raise the run's dollar cap to continue"
    )]
    Budget {
        /// The cap.
        limit: NanoDollars,
        /// Settled so far.
        spent: NanoDollars,
        /// Reserved for running and lost calls.
        reserved: NanoDollars,
        /// The upper bound of this call.
        asked: NanoDollars,
    },
    /// There is a dollar cap and the model has no price.
    #[error(
        "model {model} has no price, so a dollar cap can't be enforced; add its price to the configuration or run \
         without a cap"
    )]
    Unpriced {
        /// Which model.
        model: String,
    },
    /// The run is paused, cancelled or no longer this process's.
    #[error("no further model call may be made: {0}")]
    Stopped(String),
    /// The ledger could not be written.
    #[error("the call could not be recorded in the ledger: {0}")]
    Store(String),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallStatus {
    /// Answered; usage and cost are final.
    Answered,
    /// Refused or never accepted by the provider: nothing is owed.
    Failed,
    /// Accepted, but the answer was truncated, unreadable or too late. The provider may bill it, so the reservation
    /// should stay.
    Lost,
}

impl CallStatus {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// The outcome of a call.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// How it ended.
    pub status: CallStatus,
    /// Tokens, when answered.
    pub usage: Option<Usage>,
    /// Price, when answered and priced.
    pub cost: Option<NanoDollars>,
    /// The model that answered, or the requested one.
    pub model: String,
    /// HTTP requests it took.
    pub attempts: u32,
    /// From the first attempt to the end, waits included.
    pub duration: Duration,
    /// The error text, without secrets.
    pub error: Option<String>,
    /// From sending the attempt that was answered to its first token, when streamed.
    pub time_to_first_token: Option<Duration>,
}
