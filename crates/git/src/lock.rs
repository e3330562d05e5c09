//! Lock files that a crash left behind.

use crate::{
    error::{At, GitError, GitResult},
    hub::{Hub, full_name},
    land::lock_path,
    private::Private,
    remote::Remote,
    transport::TRANSFER_LIMIT,
};
use domain::Fence;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Every process holds this file of the hub, together with others, while it moves a reference. The kernel lets go of
/// it when a process ends, and not while it only stands still: who gets it alone knows that nobody alive is between
/// the making of a lock file and its renaming.
const MOVING: &str = "orchestrator-references.lock";
/// A move takes milliseconds: who is not through after this stands still.
const MOVING_WAIT_LIMIT: Duration = Duration::from_millis(2_000);
const MOVING_RETRY_PAUSE: Duration = Duration::from_millis(2);

/// Longer than a push may take.
const UPSTREAM_LOCK_AGE: Duration = Duration::from_secs(2 * TRANSFER_LIMIT.as_secs());

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
    /// A living process is moving references, perhaps this one, and does not come to an end.
    Moving,
}

/// Held while a reference of the hub is moved.
#[derive(Debug)]
pub(crate) struct Moving {
    _file: File,
}

impl Hub {
    /// To be held while a reference is moved.
    pub(crate) fn moving(&self) -> GitResult<Moving> {
        let path = self.path().join(MOVING);
        let _private = Private::begin();
        let file = File::create(&path).at("can't make the lock file", &path)?;
        flock(&file, FlockOperation::LockShared).at("can't take the lock", &path)?;
        Ok(Moving { _file: file })
    }

    /// Waits until nobody moves a reference, and keeps it so; `None` where somebody does not come to an end.
    fn nobody_moving(&self) -> GitResult<Option<Moving>> {
        let path = self.path().join(MOVING);
        let _private = Private::begin();
        let file = File::create(&path).at("can't make the lock file", &path)?;
        let started = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Moving { _file: file })),
                Err(Errno::WOULDBLOCK) if started.elapsed() < MOVING_WAIT_LIMIT => thread::sleep(MOVING_RETRY_PAUSE),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(GitError::io("can't take the lock", &path, error.into())),
            }
        }
    }

    /// Removes the lock file of a reference if it is at least `older_than` old and its maker is dead: no process has
    /// it open, and none is moving references. Only the holder of the landing lock may: nobody else can know that the
    /// branch has no other mover.
    pub fn remove_stale_lock(
        &self,
        reference: &str,
        _lock: &LandingLock,
        older_than: Duration,
    ) -> GitResult<StaleLock> {
        self.remove_stale_lock_upstream(reference)?;
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
        // A process that was stopped between writing the file and renaming it has it open no more. It may have gone on
        // meanwhile: then this is not the file that was looked at.
        let Some(_nobody) = self.nobody_moving()? else {
            return Ok(StaleLock::Moving);
        };
        match fs::symlink_metadata(&path) {
            Ok(now) if (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()) => {
                fs::remove_file(&path).at("can't remove the lock", &path)?;
                Ok(StaleLock::Removed)
            }
            Ok(_) => Ok(StaleLock::TooYoung),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StaleLock::Absent),
            Err(error) => Err(GitError::io("can't look at the lock", &path, error)),
        }
    }

    /// The same where machines share the hub by a path: a push that is under way there ends within its limit, so what is
    /// older than that was left by a death. Elsewhere it is for whoever keeps the upstream.
    fn remove_stale_lock_upstream(&self, reference: &str) -> GitResult<()> {
        let Some(upstream) = self.upstream.as_ref().and_then(Remote::path) else {
            return Ok(());
        };
        let path = lock_path(&upstream, &full_name(reference));
        let Ok(metadata) = fs::metadata(&path) else {
            return Ok(());
        };
        let modified = metadata.modified().at("can't read the age of the lock", &path)?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if age < UPSTREAM_LOCK_AGE || process_with_open(metadata.dev(), metadata.ino()).is_some() {
            return Ok(());
        }
        fs::remove_file(&path).at("can't remove the lock", &path)
    }

    /// Removes the lock files of all references, of any age, whose maker is dead: no process has them open, and none is
    /// moving references. Returns what was removed; an error where a living process moves references and does not come
    /// to an end.
    pub fn remove_dead_locks(&self) -> GitResult<Vec<PathBuf>> {
        let Some(_nobody) = self.nobody_moving()? else {
            let source = io::Error::other("a living process moves references there and does not come to an end");
            return Err(GitError::io("can't clear lock files in", self.path(), source));
        };
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
pub(crate) fn process_with_open(device: u64, inode: u64) -> Option<u32> {
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
