//! How much room there is for data: on the disk, and within the bound of what the data directory may take.

use super::usage::{DiskUse, bytes_in_words};
use crate::context::{Context, blocking};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, watch};

/// How long a new run waits for the first measurement, where there is a bound.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// The disk under the data directory, as this process knows it. Clones share that.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) context: Context,
    /// Whether the last look found too little room, so that the log tells of a change and not of every look.
    is_low: Arc<AtomicBool>,
    /// What the data directory took when it was last measured.
    used: watch::Sender<Option<DiskUse>>,
    /// Held while what runs left is given up: the lease tells processes apart, and not two parts of one.
    pub(super) cleaning: Arc<Mutex<()>>,
}

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
                 raise retention.bytes, or end runs and give up what they left (`orchestrator clean --older-than 0`)",
                bytes_in_words(used.total_bytes()),
                bytes_in_words(bound),
                used.words(),
            )
        })
    }
}

impl Disk {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            is_low: Arc::default(),
            used: watch::Sender::new(None),
            cleaning: Arc::default(),
        }
    }

    /// How much room the data directory's disk has.
    pub(crate) fn room(&self) -> DiskRoom {
        let disk = rustix::fs::statvfs(self.context.layout.root());
        DiskRoom {
            data_dir: self.context.settings.data_dir.clone(),
            free_bytes: disk.ok().map(|disk| disk.f_bavail * disk.f_frsize),
            floor_bytes: self.context.settings.disk_floor_bytes,
            used: self.used.borrow().clone(),
            bound_bytes: self.context.settings.disk_bound_bytes,
        }
    }

    /// Whether something new may be begun; the log hears when that changes.
    pub(crate) fn has_room(&self) -> bool {
        let lack = self.room().lack();
        let low = lack.is_some();
        if self.is_low.swap(low, Ordering::Relaxed) != low {
            match lack {
                Some(lack) => tracing::warn!(lack, "nothing new is begun until there is room"),
                None => tracing::info!("the disk has room again"),
            }
        }
        !low
    }

    /// Measures the data directory beside the runtime; nothing where the engine is being stopped.
    pub(crate) async fn measure(&self) -> Option<DiskUse> {
        let (root, drain) = (self.context.layout.root().to_owned(), self.context.drain.clone());
        blocking(move || DiskUse::measure(&root, &drain)).await
    }

    /// Lets everybody know of a measurement.
    pub(crate) fn publish(&self, found: DiskUse) {
        for (area, bytes) in &found.areas {
            telemetry::system::data_used(area.as_str(), *bytes);
        }
        self.used.send_replace(Some(found));
        self.context.wake.committed();
    }

    /// Bytes by which the data directory was over its bound.
    pub(crate) fn bytes_over(&self, found: &DiskUse) -> u64 {
        let bound = self.context.settings.disk_bound_bytes.unwrap_or(u64::MAX);
        found.total_bytes().saturating_sub(bound)
    }

    /// Waits for the first measurement where there is a bound, so that a run that could not begin is not taken in.
    pub(crate) async fn measured(&self) {
        if self.context.settings.disk_bound_bytes.is_some() {
            let mut measured = self.used.subscribe();
            // Where it takes long, or never comes, the run is taken in.
            drop(tokio::time::timeout(FIRST_LOOK, measured.wait_for(Option::is_some)).await);
        }
    }
}
