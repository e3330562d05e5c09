//! Room on the disk. A full disk is no reason to lose work, so below a floor of free room, or over a bound of what the
//! data directory may take, nothing new is begun: what runs goes on, and what waits is taken up when there is room.

mod retention;
mod room;
mod usage;

pub use retention::{CleanMode, Cleaned, CleanedCache, CleanedRun, RetentionError};
pub use room::DiskRoom;
pub use usage::{Area, DiskUse, bytes_in_words};

pub(crate) use retention::keep as keep_clean;
pub(crate) use room::Disk;

use std::time::{Duration, Instant};

/// How soon is looked again while the bound is passed, and by how much that is longer than the look itself.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const REST: u32 = 10;
/// Measures the data directory now and then, and sees to it that it keeps within its bound, until the engine stops.
pub(crate) async fn keep(disk: Disk) {
    let (stop, measure) = (disk.context.stop.clone(), disk.context.settings.measure);
    loop {
        let started = Instant::now();
        let Some(mut found) = disk.measure().await else {
            return;
        };
        if disk.bytes_over(&found) > 0 {
            match disk.clean(None, CleanMode::Remove).await {
                Ok(cleaned) => tracing::info!(%cleaned, "the data directory was over its bound (retention.bytes)"),
                Err(RetentionError::Held) => {}
                Err(_) if stop.is_cancelled() => return,
                Err(error) => tracing::warn!(%error, "the data directory is over its bound; it is tried again"),
            }
            match disk.measure().await {
                Some(after) => found = after,
                None => return,
            }
        }
        let soon = LOOK_AGAIN.max(started.elapsed() * REST).min(measure);
        let wait = if disk.bytes_over(&found) > 0 { soon } else { measure };
        disk.publish(found);
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}
