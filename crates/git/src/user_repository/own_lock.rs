//! Our lock files in the user's repository. One that we leave there in a crash would block the user's git, so ours can
//! be distinguished from those of git.

use crate::{
    error::{At, GitError, GitResult},
    hub::reference::lock_path,
    lock_file::{HeldLock, process_with_open},
};
use git2::{Oid, Repository};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// The least age of a stale lock that names our commit: a living process renames it sooner.
const NAMED_AGE: Duration = Duration::from_secs(1);
/// How libgit2 names an unfinished pack.
const PACK_IN_MAKING: &[u8] = b"pack_git2_";
/// The least age of a stale file that names no owner: an empty lock, a part of a pack.
const EMPTY_AGE: Duration = Duration::from_secs(10);
/// How long another process of ours that moves the same checkout is waited for.
const HOLD_WAIT_LIMIT: Duration = Duration::from_secs(5);
/// How long a lock of the user's git is waited for. A command such as `git status` holds it for a moment.
pub(crate) const USER_LOCK_WAIT_LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Removes the lock that one of our processes left on a reference when it crashed while moving it to `target`: the lock
/// names that commit, or nothing yet, is old, and no process has it open. Any other lock stays.
pub(crate) fn remove_own_reference_lock(repository: &Repository, reference: &str, target: Oid) -> GitResult<()> {
    let path = lock_path(repository.commondir(), reference);
    loop {
        let (Some(metadata), Ok(content)) = (metadata(&path)?, fs::read(&path)) else {
            return Ok(());
        };
        let old_enough = match content.trim_ascii() {
            [] => EMPTY_AGE,
            named if named == target.to_string().as_bytes() => NAMED_AGE,
            _ => return Ok(()),
        };
        let modified = metadata.modified().at("can't read the age of the lock", &path)?;
        // One from the future is as old as can be known.
        let age = SystemTime::now().duration_since(modified).unwrap_or(EMPTY_AGE);
        if age >= old_enough {
            return match process_with_open(metadata.dev(), metadata.ino()) {
                Some(_) => Ok(()),
                None => remove_if_there(&path),
            };
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Removes unfinished packs that one of our processes left in a crash: files with libgit2's name for them, of our
/// account, old, and open in no process. A pack that is being written is open.
pub(crate) fn remove_dead_packs(repository: &Repository) -> GitResult<()> {
    let directory = repository.commondir().join("objects/pack");
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PACK_IN_MAKING) {
            continue;
        }
        let path = entry.path();
        while let Some(metadata) = metadata(&path)?.filter(|metadata| metadata.uid() == own) {
            if process_with_open(metadata.dev(), metadata.ino()).is_some() {
                break;
            }
            let modified = metadata.modified().at("can't read the age of", &path)?;
            if SystemTime::now().duration_since(modified).unwrap_or(EMPTY_AGE) >= EMPTY_AGE {
                remove_if_there(&path)?;
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(())
}

/// The lock of a checkout's index, taken by a link to a file of ours: what is linked to it was made by us, and who
/// holds the file itself (`flock`, which ends with the process) knows that no other process of ours is at it.
pub(crate) struct IndexLock {
    directory: PathBuf,
    _held: File,
}

impl IndexLock {
    /// Takes the lock, waiting for the user's git up to `limit`; the lock that is in the way then.
    pub(crate) fn take(repository: &Repository, limit: Duration) -> GitResult<Result<Self, HeldLock>> {
        let directory = repository.path().to_owned();
        let lock = Self {
            _held: hold(&directory.join(OWN))?,
            directory,
        };
        for leftover in [lock.new_index(), lock.directory.join(format!("{NEW_INDEX}.lock"))] {
            remove_if_there(&leftover)?;
        }
        let (own, theirs) = (lock.directory.join(OWN), lock.directory.join(INDEX_LOCK));
        let started = Instant::now();
        loop {
            match fs::hard_link(&own, &theirs) {
                Ok(()) => return Ok(Ok(lock)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(GitError::io("can't take the lock", &theirs, error));
                }
                Err(_) if is_same(&own, &theirs)? => return Ok(Ok(lock)),
                Err(_) => {
                    if let Some(held) = HeldLock::wait(&theirs, limit.saturating_sub(started.elapsed())) {
                        let waited = started.elapsed();
                        return Ok(Err(HeldLock { waited, ..held }));
                    }
                }
            }
        }
    }

    /// Removes what a crash of ours left, if there is anything.
    pub(crate) fn clear(repository: &Repository) -> GitResult<()> {
        match repository.path().join(OWN).exists() {
            false => Ok(()),
            // Dropped at once. A lock of the user's git is in nobody's way here.
            true => Self::take(repository, Duration::ZERO).map(drop),
        }
    }

    /// Where the new index is to be written: a copy of the present one, to begin with.
    pub(crate) fn begin_index(&self) -> GitResult<PathBuf> {
        let (index, new) = (self.directory.join("index"), self.new_index());
        match fs::copy(&index, &new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::io("can't copy", &index, error)),
            _ => Ok(new),
        }
    }

    /// Puts the new index in the place of the present one.
    pub(crate) fn finish_index(&self) -> GitResult<()> {
        let (index, new) = (self.directory.join("index"), self.new_index());
        fs::rename(&new, &index).at("can't write", &index)
    }

    fn new_index(&self) -> PathBuf {
        self.directory.join(NEW_INDEX)
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        let (own, lock) = (self.directory.join(OWN), self.directory.join(INDEX_LOCK));
        // The lock first: while our own file exists, the lock is known to be ours.
        if is_same(&own, &lock).unwrap_or(false) {
            remove_if_there(&lock).unwrap_or_default();
        }
        for path in [self.new_index(), own] {
            remove_if_there(&path).unwrap_or_default();
        }
    }
}

const OWN: &str = "orchestrator-index-lock";
const NEW_INDEX: &str = "orchestrator-index";
const INDEX_LOCK: &str = "index.lock";

/// Opens the file and holds it alone. The last holder removes it, so what was waited for must still be there.
fn hold(path: &Path) -> GitResult<File> {
    let started = Instant::now();
    loop {
        let file = File::create(path).at("can't make the lock file", path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) if started.elapsed() < HOLD_WAIT_LIMIT => {
                thread::sleep(LOOK_AGAIN);
                continue;
            }
            // Another process of ours that is at the same checkout, and stands still.
            Err(Errno::WOULDBLOCK) => {
                if let Some(lock) = HeldLock::look(path, started.elapsed()) {
                    return Err(GitError::Locked(lock));
                }
                continue;
            }
            Err(error) => return Err(GitError::io("can't take the lock", path, error.into())),
        }
        let held = file.metadata().at("can't look at the lock", path)?;
        if metadata(path)?.is_some_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

fn is_same(one: &Path, other: &Path) -> GitResult<bool> {
    let (Some(one), Some(other)) = (metadata(one)?, metadata(other)?) else {
        return Ok(false);
    };
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn metadata(path: &Path) -> GitResult<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        // Where a branch has the name of a directory of ours, there is no lock either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(GitError::io("can't look at the lock", path, error)),
    }
}

fn remove_if_there(path: &Path) -> GitResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(GitError::io("can't remove the lock", path, error))
        }
        _ => Ok(()),
    }
}
