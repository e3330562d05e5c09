//! Lock files that a crash left behind.

use crate::{
    error::{At, GitError, GitResult},
    hub::{Hub, full_name},
    land::lock_path,
};
use domain::Fence;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Proof that the caller is the one merger of a branch: it is made by who holds the lease, from the lease's fence.
#[derive(Debug)]
pub struct LandingLock {
    fence: Fence,
}

impl LandingLock {
    /// Says that the lease with this fence is held, and was checked a moment ago.
    pub fn held_under(fence: Fence) -> Self {
        Self { fence }
    }

    /// The fence of the lease.
    pub fn fence(&self) -> Fence {
        self.fence
    }
}

/// What became of a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleLock {
    /// There is none.
    Absent,
    /// It was old and nobody held it open: it was removed.
    Removed,
    /// It is younger than the limit: its owner may live.
    TooYoung,
    /// A living process holds it open.
    InUse {
        /// The process.
        process: u32,
    },
}

impl Hub {
    /// Removes the lock file of a reference if it is at least `older_than` old and no process has it open. Only the
    /// holder of the landing lock may: nobody else can know that the branch has no other mover.
    pub fn remove_stale_lock(
        &self,
        reference: &str,
        _lock: &LandingLock,
        older_than: Duration,
    ) -> GitResult<StaleLock> {
        let path = lock_path(self.path(), &full_name(reference));
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StaleLock::Absent),
            Err(error) => return Err(GitError::io("can't look at the lock", &path, error)),
        };
        let modified = metadata.modified().at("can't read the age of the lock", &path)?;
        if SystemTime::now().duration_since(modified).unwrap_or_default() < older_than {
            return Ok(StaleLock::TooYoung);
        }
        if let Some(process) = process_with_open(metadata.dev(), metadata.ino()) {
            return Ok(StaleLock::InUse { process });
        }
        fs::remove_file(&path).at("can't remove the lock", &path)?;
        Ok(StaleLock::Removed)
    }

    /// Removes the lock files of all references, of any age, that no process has open. Only for who knows that the
    /// hub has no other user: the process that had it before is dead, and this one has not begun. Returns what was
    /// removed.
    pub fn remove_dead_locks(&self) -> GitResult<Vec<PathBuf>> {
        let single = ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock"];
        let mut locks: Vec<PathBuf> = single.map(|name| self.path().join(name)).into();
        find_locks(&self.path().join("refs"), &mut locks)?;
        let mut removed = Vec::new();
        for path in locks {
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if process_with_open(metadata.dev(), metadata.ino()).is_none() {
                fs::remove_file(&path).at("can't remove the lock", &path)?;
                removed.push(path);
            }
        }
        Ok(removed)
    }
}

fn find_locks(folder: &Path, found: &mut Vec<PathBuf>) -> GitResult<()> {
    for entry in fs::read_dir(folder).at("can't read", folder)? {
        let entry = entry.at("can't read", folder)?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "lock") {
            found.push(path);
        }
    }
    Ok(())
}

/// A process that has the file open. Processes of other users can't be looked into, and can't have made a lock in a
/// hub of ours. Where there is no `/proc`, the age alone decides.
fn process_with_open(device: u64, inode: u64) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        has_open(&process.path().join("fd"), device, inode).then_some(id)
    })
}

fn has_open(descriptors: &Path, device: u64, inode: u64) -> bool {
    fs::read_dir(descriptors).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| fs::metadata(entry.path()).ok())
            .any(|metadata| metadata.dev() == device && metadata.ino() == inode)
    })
}
