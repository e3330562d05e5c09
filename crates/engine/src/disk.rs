//! Room on the disk. A full disk is no reason to lose work, so below a floor of free room, or over a bound of what the
//! data directory may take, nothing new is begun: what runs goes on, and what waits is taken up when there is room.

use crate::{
    engine::{Engine, blocking},
    retention::{CleanMode, RetentionError},
    usage::{DiskUse, bytes_in_words},
};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How soon is looked again while the bound is passed, and by how much that is longer than the look itself.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const REST: u32 = 10;
/// How long a new run waits for the first measurement, where there is a bound.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// Whether the last look found too little room, so that the log tells of a change and not of every look.
#[derive(Debug, Default)]
pub(crate) struct LowDisk(AtomicBool);

/// How much room there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// Where the data is kept.
    pub data_dir: PathBuf,
    /// Bytes this user may still write; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// Bytes below which nothing new is begun (`engine.disk_floor_bytes`).
    pub floor_bytes: u64,
    /// What the data directory took when it was last measured; `None` before the first time.
    pub used: Option<DiskUse>,
    /// Bytes over which nothing new is begun (`retention.bytes`).
    pub bound_bytes: Option<u64>,
}

impl DiskRoom {
    /// Whether something new may be begun.
    pub fn is_enough(&self) -> bool {
        self.lack().is_none()
    }

    /// What is lacking and what to do about it, in words; nothing where there is room.
    pub fn lack(&self) -> Option<String> {
        let place = self.data_dir.display();
        if let Some(free) = self.free_bytes.filter(|free| *free < self.floor_bytes) {
            return Some(format!(
                "the disk of {place} has {} MiB free, below its floor of {} MiB (engine.disk_floor_bytes); free some \
                 space",
                free >> 20,
                self.floor_bytes >> 20,
            ));
        }
        let (used, bound) = (self.used.as_ref()?, self.bound_bytes?);
        (used.total_bytes() > bound).then(|| {
            format!(
                "{place} takes {}, over its bound of {} (retention.bytes), and nothing more can be spared now: {}; \
                 raise retention.bytes, or end runs and give up what they left (orchestrator clean --older-than 0)",
                bytes_in_words(used.total_bytes()),
                bytes_in_words(bound),
                used.words(),
            )
        })
    }
}

/// Measures the data directory now and then, and sees to it that it keeps within its bound, until the engine stops.
pub(crate) async fn keep(engine: Engine) {
    let (stop, measure) = (engine.parts.stop.clone(), engine.parts.settings.measure);
    loop {
        let started = Instant::now();
        let Some(mut found) = engine.measure().await else {
            return;
        };
        if engine.bytes_over(&found) > 0 {
            match engine.clean(None, CleanMode::Remove).await {
                Ok(cleaned) => tracing::info!(%cleaned, "the data directory was over its bound (retention.bytes)"),
                Err(RetentionError::Held) => {}
                Err(_) if stop.is_cancelled() => return,
                Err(error) => tracing::warn!(%error, "the data directory is over its bound; it is tried again"),
            }
            match engine.measure().await {
                Some(after) => found = after,
                None => return,
            }
        }
        let soon = LOOK_AGAIN.max(started.elapsed() * REST).min(measure);
        let wait = if engine.bytes_over(&found) > 0 { soon } else { measure };
        engine.publish(found);
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return;
        }
    }
}

impl Engine {
    /// How much room the data directory's disk has.
    pub(crate) fn disk_room(&self) -> DiskRoom {
        let disk = rustix::fs::statvfs(self.parts.layout.root());
        DiskRoom {
            data_dir: self.parts.settings.data_dir.clone(),
            free_bytes: disk.ok().map(|disk| disk.f_bavail * disk.f_frsize),
            floor_bytes: self.parts.settings.disk_floor_bytes,
            used: self.parts.disk_use.borrow().clone(),
            bound_bytes: self.parts.settings.disk_bound_bytes,
        }
    }

    /// Whether something new may be begun; the log hears when that changes.
    pub(crate) fn disk_has_room(&self) -> bool {
        let lack = self.disk_room().lack();
        let low = lack.is_some();
        if self.parts.low_disk.0.swap(low, Ordering::Relaxed) != low {
            match lack {
                Some(lack) => tracing::warn!(lack, "nothing new is begun until there is room"),
                None => tracing::info!("the disk has room again"),
            }
        }
        !low
    }

    /// Measures the data directory beside the runtime; nothing where the engine is being stopped.
    pub(crate) async fn measure(&self) -> Option<DiskUse> {
        let (root, drain) = (self.parts.layout.root().to_owned(), self.parts.drain.clone());
        blocking(move || DiskUse::measure(&root, &drain)).await
    }

    /// Lets everybody know of a measurement.
    pub(crate) fn publish(&self, found: DiskUse) {
        for (area, bytes) in &found.areas {
            telemetry::system::data_used(area.as_str(), *bytes);
        }
        self.parts.disk_use.send_replace(Some(found));
        self.parts.wake.committed();
    }

    /// Bytes by which the data directory was over its bound.
    pub(crate) fn bytes_over(&self, found: &DiskUse) -> u64 {
        let bound = self.parts.settings.disk_bound_bytes.unwrap_or(u64::MAX);
        found.total_bytes().saturating_sub(bound)
    }

    /// Waits for the first measurement where there is a bound, so that a run that could not begin is not taken in.
    pub(crate) async fn measured(&self) {
        if self.parts.settings.disk_bound_bytes.is_some() {
            let mut measured = self.parts.disk_use.subscribe();
            // Where it takes long, or never comes, the run is taken in.
            drop(tokio::time::timeout(FIRST_LOOK, measured.wait_for(Option::is_some)).await);
        }
    }
}
