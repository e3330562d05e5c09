//! Every statement is timed in one place.

use std::{future::Future, time::Instant};

/// Awaits a statement and records how long it took under its operation.
pub(crate) async fn timed<T, E>(
    operation: &'static str,
    statement: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let started = Instant::now();
    let outcome = statement.await;
    telemetry::db::query(operation, started.elapsed());
    outcome
}
