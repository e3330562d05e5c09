//! Database events, as this process sees them.

use crate::catalogue::{
    compatibility::DATABASE_CONNECTIONS,
    database::{CONNECTIONS_ACTIVE, CONNECTIONS_IDLE, DURATION, POOL_WAIT, QUERIES, SLOW},
};
use std::time::Duration;

/// Queries longer than this count as slow.
const SLOW_QUERY: Duration = Duration::from_secs(1);

/// A query ended after this duration. `operation` is `select`, `insert`, `update`, `delete`, `begin`, `commit`, `listen` or
/// `other`.
pub fn query(operation: &'static str, duration: Duration) {
    QUERIES.add(1, [operation]);
    DURATION.observe(duration, [operation]);
    if duration > SLOW_QUERY {
        SLOW.add(1, []);
    }
}

/// The pool has this many active and idle connections.
pub fn pool(active: i64, idle: i64) {
    CONNECTIONS_ACTIVE.set(active as f64, []);
    CONNECTIONS_IDLE.set(idle as f64, []);
    DATABASE_CONNECTIONS.set(active.saturating_add(idle) as f64, []);
}

/// Getting a connection from the pool took this long.
pub fn waited(duration: Duration) {
    POOL_WAIT.observe(duration, []);
}
