//! Periodic work: recovers what dead processes held, ends overdue runs, updates gauges, and reports what has ended. It runs
//! in every process and is safe to repeat.

mod ends;
mod gauges;

pub(crate) use ends::report;

use crate::{
    context::{Context, blocking},
    recovery,
};
use std::time::Duration;

/// The time between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(2);

/// Runs until the engine stops.
pub(crate) async fn keep(context: Context) {
    let stop = context.stop.clone();
    loop {
        if let Err(error) = round(&context).await {
            tracing::debug!(%error, "Housekeeping failed; retrying");
        }
        blocking(telemetry::system::observe).await;
        if stop
            .run_until_cancelled(tokio::time::sleep(ROUND_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn round(context: &Context) -> Result<(), store::Error> {
    recovery::recover(context).await?;
    recovery::end_overdue_runs(context).await?;
    gauges::read(context).await
}
