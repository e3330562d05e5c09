//! Room on the disk. A full disk is no reason to lose work, so below a floor nothing new is begun: what runs goes on,
//! and what waits is taken up when there is room again.

use crate::engine::Engine;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the last look found too little room, so that the log tells of a change and not of every look.
#[derive(Debug, Default)]
pub(crate) struct LowDisk(AtomicBool);

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes this user may still write; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// Bytes below which nothing new is begun (`engine.disk_floor_bytes`).
    pub floor_bytes: u64,
}

impl DiskRoom {
    /// Whether something new may be begun.
    pub fn is_enough(&self) -> bool {
        self.free_bytes.is_none_or(|free| free >= self.floor_bytes)
    }
}

impl Engine {
    /// How much room the data directory's disk has.
    pub(crate) fn disk_room(&self) -> DiskRoom {
        let disk = rustix::fs::statvfs(self.parts.layout.root());
        DiskRoom {
            free_bytes: disk.ok().map(|disk| disk.f_bavail * disk.f_frsize),
            floor_bytes: self.parts.settings.disk_floor_bytes,
        }
    }

    /// Whether something new may be begun; the log hears when that changes.
    pub(crate) fn disk_has_room(&self) -> bool {
        let room = self.disk_room();
        let low = !room.is_enough();
        if self.parts.low_disk.0.swap(low, Ordering::Relaxed) != low {
            let (free, floor) = (room.free_bytes.unwrap_or_default(), room.floor_bytes);
            if low {
                tracing::warn!(
                    free,
                    floor,
                    "the disk is below its floor (disk_floor_bytes); nothing new is begun until there is room"
                );
            } else {
                tracing::info!(free, floor, "the disk has room again");
            }
        }
        !low
    }
}
