//! Lock files that a crash left behind.

use crate::{
    error::{At, GitError, GitResult},
    hub::{
        Hub,
        reference::{full_name, lock_path},
    },
    lock_file::process_with_open,
    private::Private,
    remote::{PushError, Remote},
};
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

/// How long a lock file of a shared hub stays, in case someone pushes there by hand.
const UPSTREAM_LOCK_AGE: Duration = Duration::from_secs(5);
/// The lock files of a repository besides those of its references.
const SINGLE_LOCKS: [&str; 4] = ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock"];

/// Proof that the caller is the one merger of a branch. Only what is made by taking that lock may implement it.
pub trait LandingLock {}

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
        let file = lock_file(self.path())?;
        flock(&file, FlockOperation::LockShared).at("can't take the lock", self.path())?;
        Ok(Moving { _file: file })
    }

    /// Removes the lock file of a reference if it is at least `older_than` old and its owner crashed: no process has
    /// it open, and none is moving references. Only the holder of the landing lock may: nobody else can know that the
    /// branch has no other mover.
    pub fn remove_stale_lock(
        &self,
        reference: &str,
        _lock: &impl LandingLock,
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
        // A process that was stopped between writing the file and renaming it has it open no more. It may have gone on
        // meanwhile: then this is not the file that was looked at.
        let Some(_nobody) = nobody_moving(self.path())? else {
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

    /// Removes the lock files of all references, of any age, whose owner crashed: no process has them open, and none is
    /// moving references. Returns what was removed; an error where a living process moves references and does not come
    /// to an end.
    pub fn remove_dead_locks(&self) -> GitResult<Vec<PathBuf>> {
        let Some(_nobody) = nobody_moving(self.path())? else {
            let source = io::Error::other("a living process moves references there and does not come to an end");
            return Err(GitError::io("can't clear lock files in", self.path(), source));
        };
        remove_dead(self.path(), Duration::ZERO)
    }
}

/// To be held open by every process of a push to a shared hub, so that the kernel knows of the push until the last of
/// them has ended, also where the process that started it crashed. Only a hub that is reached by a path has such a file.
pub(crate) fn pushing_to(remote: &Remote) -> Result<Option<File>, PushError> {
    // What is not there, or may not be written, the push itself complains of.
    let Some(file) = remote.path().and_then(|path| lock_file(&path).ok()) else {
        return Ok(None);
    };
    match take(&file, FlockOperation::NonBlockingLockShared) {
        Ok(true) => Ok(Some(file)),
        Ok(false) => Err(PushError::Unreachable {
            address: remote.address().to_owned(),
            said: format!("a process holds {MOVING} there and does not come to an end"),
        }),
        Err(error) => Err(GitError::io("can't take the lock", Path::new(remote.address()), error.into()).into()),
    }
}

/// Removes the lock files that crashed pushes left in a shared hub; returns whether there were any. Nothing is removed
/// while a push of ours is under way, on whichever machine. Where the hub is not reached by a path, its administrator
/// removes them.
pub(crate) fn remove_dead_pushes(remote: &Remote) -> GitResult<bool> {
    let Some(path) = remote.path() else {
        return Ok(false);
    };
    match nobody_moving(&path)? {
        Some(_nobody) => Ok(!remove_dead(&path, UPSTREAM_LOCK_AGE)?.is_empty()),
        None => Ok(false),
    }
}

fn lock_file(repository: &Path) -> GitResult<File> {
    let path = repository.join(MOVING);
    let _private = Private::begin();
    let options = File::options().write(true).create(true).truncate(false).open(&path);
    options.at("can't make the lock file", &path)
}

/// Waits until nobody moves a reference, and keeps it so; `None` where somebody does not come to an end.
fn nobody_moving(repository: &Path) -> GitResult<Option<Moving>> {
    let file = lock_file(repository)?;
    let alone = take(&file, FlockOperation::NonBlockingLockExclusive).at("can't take the lock", repository)?;
    Ok(alone.then_some(Moving { _file: file }))
}

/// Takes the lock; `false` where its holder does not release it.
fn take(file: &File, how: FlockOperation) -> Result<bool, Errno> {
    let started = Instant::now();
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if started.elapsed() < MOVING_WAIT_LIMIT => thread::sleep(MOVING_RETRY_PAUSE),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Removes the lock files of a repository that no process has open and that are at least so old. The caller knows that
/// nobody moves a reference.
fn remove_dead(repository: &Path, older_than: Duration) -> GitResult<Vec<PathBuf>> {
    let mut locks: Vec<PathBuf> = SINGLE_LOCKS.map(|name| repository.join(name)).into();
    find_locks(&repository.join("refs"), &mut locks)?;
    let mut removed = Vec::new();
    for path in locks {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let modified = metadata.modified().at("can't read the age of the lock", &path)?;
        let is_young = SystemTime::now().duration_since(modified).unwrap_or_default() < older_than;
        if !is_young && process_with_open(metadata.dev(), metadata.ino()).is_none() {
            fs::remove_file(&path).at("can't remove the lock", &path)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

fn find_locks(directory: &Path, found: &mut Vec<PathBuf>) -> GitResult<()> {
    for entry in fs::read_dir(directory).at("can't read", directory)? {
        let entry = entry.at("can't read", directory)?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "lock") {
            found.push(path);
        }
    }
    Ok(())
}
