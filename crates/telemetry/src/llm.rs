//! Events of requests to models.

use crate::catalogue::{
    compatibility::{AI_COST, AI_REQUESTS, AI_TOKENS},
    models::{
        COST, DISCARDED_COST, DURATION, FIRST_TOKEN, RATE_LIMITS, REQUESTS, RETRIES, SUBSET_TOKENS, TOKENS, UNPRICED,
    },
};
use domain::NanoDollars;
use std::time::Duration;

/// How an HTTP request to a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmStatus {
    /// A valid answer.
    Success,
    /// An error status, a broken connection, or an answer that could not be read.
    Error,
    /// Rejected for the rate of requests.
    RateLimited,
    /// No answer in time.
    Timeout,
    /// Cancelled by the product.
    Cancelled,
}

impl LlmStatus {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An HTTP request to a provider ended. Called once per attempt, so that the count equals the provider's.
pub fn request(model: &str, status: LlmStatus, duration: Duration, time_to_first_token: Option<Duration>) {
    REQUESTS.add(1, [model, status.as_str()]);
    AI_REQUESTS.add(1, [model, status.as_str()]);
    DURATION.observe(duration, [model]);
    if let Some(waited) = time_to_first_token {
        FIRST_TOKEN.observe(waited, [model]);
    }
}

/// A model answered with this usage, as the provider reports it: `input` includes cached tokens, `output` includes
/// reasoning. `role` is `director`, `worker` or `resolver`. Without a cost, the model has no price. Called once per answer.
pub fn usage(model: &str, role: &str, input: u64, output: u64, cached: u64, reasoning: u64, cost: Option<NanoDollars>) {
    TOKENS.add(input, [model, "input"]);
    TOKENS.add(output, [model, "output"]);
    AI_TOKENS.add(input.saturating_add(output), [model]);
    SUBSET_TOKENS.add(cached, [model, "cached"]);
    SUBSET_TOKENS.add(reasoning, [model, "reasoning"]);
    match cost {
        Some(cost) => {
            COST.add(cost.dollars(), [model, role]);
            AI_COST.observe_value(cost.dollars(), [model]);
        }
        None => UNPRICED.add(1, [model]),
    }
}

/// A provider rejected a request for its rate.
pub fn rate_limited(model: &str) {
    RATE_LIMITS.add(1, [model]);
}

/// A request is retried because of `rate_limited`, `server_error`, `timeout`, `connection`, `cut_stream` or
/// `invalid_answer`.
pub fn retried(reason: &'static str) {
    RETRIES.add(1, [reason]);
}

/// This amount was spent on a task whose work did not land, or may have been spent on calls lost in a crash.
pub fn discarded(cost: NanoDollars) {
    DISCARDED_COST.add(cost.dollars(), []);
}
