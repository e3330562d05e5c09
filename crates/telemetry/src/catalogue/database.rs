//! The database as this process sees it.

use super::{Area, Declaration, SHORT_SECONDS};
use crate::{
    instrument::{Counter, Distribution, Gauge},
    label::Label,
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Database",
    metrics: &[
        &QUERIES,
        &DURATION,
        &SLOW,
        &CONNECTIONS_ACTIVE,
        &CONNECTIONS_IDLE,
        &POOL_WAIT,
    ],
};

const OPERATION: Label = Label::fixed(
    "operation",
    &[
        "select", "insert", "update", "delete", "begin", "commit", "listen", "other",
    ],
);

pub(crate) static QUERIES: Counter<1> =
    Counter::new(Declaration::new("db.queries", "{query}", "db_queries_total", "Queries sent.").labels(&[OPERATION]));

pub(crate) static DURATION: Distribution<1> = Distribution::new(
    Declaration::new(
        "db.query.duration",
        "s",
        "db_query_duration_seconds",
        "Duration of a query.",
    )
    .labels(&[OPERATION])
    .buckets(SHORT_SECONDS),
);

pub(crate) static SLOW: Counter = Counter::new(Declaration::new(
    "db.slow.queries",
    "{query}",
    "db_slow_queries_total",
    "Queries that took longer than a second.",
));

pub(crate) static CONNECTIONS_ACTIVE: Gauge = Gauge::new(Declaration::new(
    "db.connections.active",
    "{connection}",
    "db_connections_active",
    "Connections of the pool in use.",
));

pub(crate) static CONNECTIONS_IDLE: Gauge = Gauge::new(Declaration::new(
    "db.connections.idle",
    "{connection}",
    "db_connections_idle",
    "Idle connections of the pool.",
));

pub(crate) static POOL_WAIT: Distribution = Distribution::new(
    Declaration::new(
        "db.pool.wait",
        "s",
        "db_pool_wait_seconds",
        "Time a transaction waited for a connection from the pool.",
    )
    .buckets(&[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0]),
);
