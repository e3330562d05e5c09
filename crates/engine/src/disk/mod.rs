//! Disk space. Below a floor of free space, or when the data directory exceeds its bound, nothing new is started: running
//! work continues, and waiting work is claimed when there is space again.

mod retention;
mod space;
mod usage;

pub use retention::{CleanMode, Cleaned, CleanedCache, CleanedRun, RetentionError};
pub use space::DiskSpace;
pub use usage::{Area, DiskUse, bytes_in_words};

pub(crate) use retention::keep as keep_clean;
pub(crate) use space::Disk;

use std::time::{Duration, Instant};

/// While the bound is exceeded, the next measurement follows after this time, or after so many times its own duration.
const MEASURE_AGAIN: Duration = Duration::from_secs(30);
const MEASURE_AGAIN_FACTOR: u32 = 10;
/// Measures the data directory periodically and prunes it when it exceeds its bound, until the engine stops.
pub(crate) async fn keep(disk: Disk) {
    let (stop, measure) = (disk.context.stop.clone(), disk.context.settings.measure);
    loop {
        let started = Instant::now();
        let Some(mut found) = disk.measure().await else {
            return;
        };
        if disk.bytes_over(&found) > 0 {
            match disk.clean(None, CleanMode::Remove).await {
                Ok(cleaned) => {
                    tracing::info!(%cleaned, "Pruned the data directory, which exceeded its bound (retention.bytes)")
                }
                Err(RetentionError::Held) => {}
                Err(_) if stop.is_cancelled() => return,
                Err(error) => {
                    tracing::warn!(%error, "Could not prune the data directory, which exceeds its bound; retrying")
                }
            }
            match disk.measure().await {
                Some(after) => found = after,
                None => return,
            }
        }
        let soon = MEASURE_AGAIN.max(started.elapsed() * MEASURE_AGAIN_FACTOR).min(measure);
        let wait = if disk.bytes_over(&found) > 0 { soon } else { measure };
        disk.publish(found);
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}
