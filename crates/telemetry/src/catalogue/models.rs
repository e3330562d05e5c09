//! Model calls: requests, tokens, cost.

use super::{Area, Declaration};
use crate::{
    instrument::{Amount, Counter, Distribution, OptionalGauge},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Models",
    metrics: &[
        &REQUESTS,
        &TOKENS,
        &COST,
        &RATE_LIMITS,
        &DURATION,
        &FIRST_TOKEN,
        &RETRIES,
        &SUBSET_TOKENS,
        &UNPRICED,
        &BUDGET_REMAINING,
        &DISCARDED_COST,
    ],
};

pub(super) const MODEL: Label = Label::of("model", Values::Models);
pub(super) const STATUS: Label = Label::fixed("status", &["success", "error", "rate_limited", "timeout", "cancelled"]);

pub(crate) static REQUESTS: Counter<2> = Counter::new(
    Declaration::new(
        "llm.requests",
        "{request}",
        "llm_requests_total",
        "HTTP requests to a provider, each attempt counted.",
    )
    .labels(&[MODEL, STATUS])
    .series_limit(500),
);

pub(crate) static TOKENS: Counter<2> = Counter::new(
    Declaration::new(
        "llm.tokens",
        "{token}",
        "llm_tokens_total",
        "Tokens as reported by providers; input includes cached tokens, output includes reasoning.",
    )
    .labels(&[MODEL, Label::fixed("token_type", &["input", "output"])]),
);

pub(crate) static COST: Amount<2> = Amount::new(
    Declaration::new(
        "llm.cost.dollars",
        "USD",
        "llm_cost_dollars_total",
        "Dollars by the price table, recorded when the model answers.",
    )
    .labels(&[
        MODEL,
        Label::fixed("role", &["director", "worker", "resolver", "other"]),
    ])
    .series_limit(500),
);

pub(crate) static RATE_LIMITS: Counter<1> = Counter::new(
    Declaration::new(
        "llm.rate_limit.events",
        "{event}",
        "llm_rate_limit_events_total",
        "Requests that a provider rejected for their rate.",
    )
    .labels(&[MODEL]),
);

pub(crate) static DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "llm.request.duration",
        "s",
        "llm_request_duration_seconds",
        "Time from a request to the end of its answer.",
    )
    .labels(&[MODEL])
    .buckets(&[
        0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    ]),
);

pub(crate) static FIRST_TOKEN: Distribution<1> = Distribution::new(
    Declaration::new(
        "llm.time_to_first_token",
        "s",
        "llm_time_to_first_token_seconds",
        "Time from a request to the first token of its answer.",
    )
    .labels(&[MODEL])
    .buckets(&[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0]),
);

pub(crate) static RETRIES: Counter<1> = Counter::new(
    Declaration::new(
        "llm.retries",
        "{retry}",
        "llm_retries_total",
        "Retried requests by reason.",
    )
    .labels(&[Label::fixed(
        "reason",
        &[
            "rate_limited",
            "server_error",
            "timeout",
            "connection",
            "cut_stream",
            "invalid_answer",
            "other",
        ],
    )]),
);

pub(crate) static SUBSET_TOKENS: Counter<2> = Counter::new(
    Declaration::new(
        "llm.cached.tokens",
        "{token}",
        "llm_cached_tokens_total",
        "Parts of llm_tokens_total: cached tokens of the input, reasoning tokens of the output.",
    )
    .labels(&[MODEL, Label::fixed("kind", &["cached", "reasoning"])]),
);

pub(crate) static UNPRICED: Counter<1> = Counter::new(
    Declaration::new(
        "llm.unpriced.requests",
        "{request}",
        "llm_unpriced_requests_total",
        "Answers of models without a price, whose cost is missing.",
    )
    .labels(&[MODEL]),
);

pub(crate) static BUDGET_REMAINING: OptionalGauge = OptionalGauge::new(Declaration::new(
    "llm.budget.remaining.dollars",
    "USD",
    "llm_budget_remaining_dollars",
    "The smallest remaining budget of active runs, from the database; absent without a budget.",
));

pub(crate) static DISCARDED_COST: Amount = Amount::new(Declaration::new(
    "llm.discarded.cost.dollars",
    "USD",
    "llm_discarded_cost_dollars_total",
    "Dollars spent on tasks whose work did not land, and upper bounds of calls lost in a crash.",
));
