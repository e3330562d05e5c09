//! Requests to the product's API.

use super::{Area, Declaration, SHORT_SECONDS};
use crate::{
    instrument::{Counter, Distribution, Level},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "HTTP",
    metrics: &[&REQUESTS, &ERRORS, &DURATION, &SIZE, &CONNECTIONS, &STREAMS, &CLOSED],
};

const METHOD: Label = Label::fixed(
    "method",
    &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"],
);
const ENDPOINT: Label = Label::of("endpoint", Values::Bounded("the matched route, or unmatched"));
const STATUS: Label = Label::of("status", Values::Bounded("HTTP status codes"));

pub(crate) static REQUESTS: Counter<3> = Counter::new(
    Declaration::new(
        "http.requests",
        "{request}",
        "http_requests_total",
        "Requests answered.",
    )
    .labels(&[METHOD, ENDPOINT, STATUS])
    .series_limit(1000),
);

pub(crate) static ERRORS: Counter<3> = Counter::new(
    Declaration::new(
        "http.errors",
        "{request}",
        "http_errors_total",
        "Requests answered with a status of 400 and above.",
    )
    .labels(&[METHOD, ENDPOINT, STATUS])
    .series_limit(1000),
);

pub(crate) static DURATION: Distribution<2> = Distribution::new(
    Declaration::new(
        "http.request.duration",
        "s",
        "http_request_duration_seconds",
        "Time from a request to its answer, without the streaming of a body.",
    )
    .labels(&[METHOD, ENDPOINT])
    .buckets(SHORT_SECONDS)
    .series_limit(500),
);

pub(crate) static SIZE: Distribution<2> = Distribution::new(
    Declaration::new(
        "http.request.size",
        "By",
        "http_request_size_bytes",
        "Size of a request's body.",
    )
    .labels(&[METHOD, ENDPOINT])
    .buckets(&[
        0.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 10485760.0,
    ])
    .series_limit(500),
);

pub(crate) static CONNECTIONS: Level = Level::new(Declaration::new(
    "http.connections",
    "{connection}",
    "http_connections",
    "Connections that are open.",
));

pub(crate) static STREAMS: Level = Level::new(Declaration::new(
    "http.event_streams",
    "{stream}",
    "http_event_streams",
    "Event streams that are open.",
));

pub(crate) static CLOSED: Counter<1> = Counter::new(
    Declaration::new(
        "http.connections.closed_early",
        "{connection}",
        "http_connections_closed_early_total",
        "Connections that the server closed before they were done.",
    )
    .labels(&[Label::fixed(
        "reason",
        &["evicted", "refused", "header_timeout", "idle_timeout", "stalled"],
    )]),
);
