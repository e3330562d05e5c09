//! The space for data: free on the disk, and within the bound of the data directory.

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

/// A new run waits this long for the first measurement, if there is a bound.
const FIRST_MEASUREMENT: Duration = Duration::from_secs(10);

/// The disk of the data directory. Clones share its state.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) context: Context,
    /// Whether there was too little space at the last look, so that only changes are logged.
    is_low: Arc<AtomicBool>,
    /// The latest measurement.
    used: watch::Sender<Option<DiskUse>>,
    /// Held while ended runs are pruned: the lease only separates processes.
    pub(super) cleaning: Arc<Mutex<()>>,
}

/// The space for data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Bytes that this user may still write; `None` if the system does not report it.
    pub free_bytes: Option<u64>,
    /// Below so many free bytes nothing new is started (`engine.disk_floor_bytes`).
    pub floor_bytes: u64,
    /// The latest measurement of the data directory; `None` before the first.
    pub used: Option<DiskUse>,
    /// When the data directory takes more bytes, nothing new is started (`retention.bytes`).
    pub bound_bytes: Option<u64>,
}

impl DiskSpace {
    /// Whether something new may be started.
    pub fn is_enough(&self) -> bool {
        self.shortage().is_none()
    }

    /// What is short and what to do about it, for people; `None` if there is enough space.
    pub fn shortage(&self) -> Option<String> {
        let directory = self.data_dir.display();
        if let Some(free) = self.free_bytes.filter(|free| *free < self.floor_bytes) {
            return Some(format!(
                "the disk of {directory} has {} MiB free, below its floor of {} MiB (engine.disk_floor_bytes); free some \
                 space",
                free >> 20,
                self.floor_bytes >> 20,
            ));
        }
        let (used, bound) = (self.used.as_ref()?, self.bound_bytes?);
        (used.total_bytes() > bound).then(|| {
            format!(
                "{directory} takes {}, over its bound of {} (retention.bytes), and nothing more can be pruned now: {}; raise \
                 retention.bytes, or end runs and delete their data (`orchestrator clean --older-than 0`)",
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

    /// The present space.
    pub(crate) fn space(&self) -> DiskSpace {
        let disk = rustix::fs::statvfs(self.context.layout.root());
        DiskSpace {
            data_dir: self.context.settings.data_dir.clone(),
            free_bytes: disk.ok().map(|disk| disk.f_bavail * disk.f_frsize),
            floor_bytes: self.context.settings.disk_floor_bytes,
            used: self.used.borrow().clone(),
            bound_bytes: self.context.settings.disk_bound_bytes,
        }
    }

    /// Whether something new may be started. Changes are logged.
    pub(crate) fn has_space(&self) -> bool {
        let shortage = self.space().shortage();
        let low = shortage.is_some();
        if self.is_low.swap(low, Ordering::Relaxed) != low {
            match shortage {
                Some(shortage) => tracing::warn!(shortage, "Starting nothing new until there is disk space"),
                None => tracing::info!("There is enough disk space again"),
            }
        }
        !low
    }

    /// Measures the data directory; `None` if the engine is stopping.
    pub(crate) async fn measure(&self) -> Option<DiskUse> {
        let (root, drain) = (self.context.layout.root().to_owned(), self.context.drain.clone());
        blocking(move || DiskUse::measure(&root, &drain)).await
    }

    /// Publishes a measurement.
    pub(crate) fn publish(&self, found: DiskUse) {
        for (area, bytes) in &found.areas {
            telemetry::system::data_used(area.as_str(), *bytes);
        }
        self.used.send_replace(Some(found));
        self.context.wake.committed();
    }

    /// Bytes by which the data directory exceeds its bound.
    pub(crate) fn bytes_over(&self, found: &DiskUse) -> u64 {
        let bound = self.context.settings.disk_bound_bytes.unwrap_or(u64::MAX);
        found.total_bytes().saturating_sub(bound)
    }

    /// Waits for the first measurement if there is a bound, so that a run that could not start is not accepted.
    pub(crate) async fn measured(&self) {
        if self.context.settings.disk_bound_bytes.is_some() {
            let mut measured = self.used.subscribe();
            // Without a measurement in time the run is accepted.
            drop(tokio::time::timeout(FIRST_MEASUREMENT, measured.wait_for(Option::is_some)).await);
        }
    }
}
