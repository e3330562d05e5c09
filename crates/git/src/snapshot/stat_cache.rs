//! Which files of a worktree are surely as they were checked out, so that they need not be read again.

use git2::{Index, IndexEntry, Oid};
use rustix::fs::Stat;
use std::{collections::HashMap, fs, os::unix::fs::MetadataExt, path::Path};

/// The stat data that the index of a worktree recorded. The index lies in the hub, where no worker can write, and
/// the change time of a file can't be set by who may only write it.
#[derive(Default)]
pub(crate) struct StatCache {
    entries: HashMap<Vec<u8>, IndexEntry>,
    /// A file that changed in or after the moment the index was written may have changed unseen.
    written: (i64, i64),
}

impl StatCache {
    /// The cache of a worktree; empty, if there is no index to be read: then every file is read.
    pub(crate) fn load(registration: &Path) -> Self {
        let path = registration.join("index");
        let (Ok(metadata), Ok(index)) = (fs::metadata(&path), Index::open(&path)) else {
            return Self::default();
        };
        let entries = index.iter().map(|entry| (entry.path.clone(), entry)).collect();
        Self {
            entries,
            written: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// The blob of the file, if it has not been touched since it was checked out.
    pub(crate) fn unchanged(&self, path: &[u8], stat: &Stat) -> Option<Oid> {
        let entry = self.entries.get(path)?;
        let modified = (stat.st_mtime, stat.st_mtime_nsec as i64);
        let changed = (stat.st_ctime, stat.st_ctime_nsec as i64);
        let same = entry.file_size == stat.st_size as u32
            && entry.ino == stat.st_ino as u32
            && time_of(&entry.mtime) == modified
            && time_of(&entry.ctime) == changed;
        (same && modified < self.written && changed < self.written).then_some(entry.id)
    }
}

fn time_of(time: &git2::IndexTime) -> (i64, i64) {
    (i64::from(time.seconds()), i64::from(time.nanoseconds()))
}
