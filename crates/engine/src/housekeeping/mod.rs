//! What is done beside the work: bringing back what dead processes held, ending overdue runs, showing gauges, telling of
//! what has ended. It runs in every process, and twice does no harm.

mod ends;
mod gauges;

pub(crate) use ends::tell;

use crate::{
    context::{Context, blocking},
    recovery,
};
use std::time::Duration;

/// How often dead processes are looked for.
const REAP_EVERY: Duration = Duration::from_secs(2);

/// Runs until the engine stops.
pub(crate) async fn keep(context: Context) {
    let stop = context.stop.clone();
    loop {
        if let Err(error) = round(&context).await {
            tracing::debug!(%error, "housekeeping is tried again");
        }
        blocking(telemetry::system::observe).await;
        if stop.run_until_cancelled(tokio::time::sleep(REAP_EVERY)).await.is_none() {
            return;
        }
    }
}

async fn round(context: &Context) -> Result<(), store::Error> {
    recovery::recover(context).await?;
    recovery::end_overdue_runs(context).await?;
    gauges::read(context).await
}
