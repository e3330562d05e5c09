//! The parent group of this process's jobs, and removal of groups left by ended processes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use super::controller::{Controller, write};
use super::host::{Candidate, lists};
use super::{processes, remove_soon};

/// Prefix of our groups' names.
const PREFIX: &str = "orchestrator-";

/// Suffix of the group that a server moved itself into.
const SERVER: &str = ".server";

/// Attempts to create a group, in case another process removes it as a leftover before it is locked.
const ATTEMPTS: usize = 5;

/// A group that stays locked while its process lives; an unlocked one is a leftover.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Owned {
    pub(crate) fn make(place: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let path = place.join(name());
            fs::create_dir(&path)?;
            if let Some(lock) = lock(&path)
                && path.metadata().is_ok_and(|found| same(&found, &lock))
            {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other(
            "another process removes every group that is created here",
        ))
    }
}

impl Owned {
    pub(crate) fn remove(&self) {
        remove(&self.path);
    }
}

fn name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |elapsed| elapsed.as_millis());
    format!("{PREFIX}{}-{moment}-{number}", std::process::id())
}

/// Locks a group, unless a living process holds the lock. All mounts of the hierarchy share the lock.
fn lock(group: &Path) -> Option<File> {
    let directory = File::open(group).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

fn same(found: &fs::Metadata, lock: &File) -> bool {
    lock.metadata()
        .is_ok_and(|locked| (locked.dev(), locked.ino()) == (found.dev(), found.ino()))
}

/// Removes the groups of ended processes, and kills what still runs in them.
pub(crate) fn remove_leftovers(place: &Path) {
    for group in groups_in(place, |name| name.starts_with(PREFIX)) {
        if group.to_string_lossy().ends_with(SERVER) {
            // Only an empty group can be removed.
            drop(fs::remove_dir(&group));
        } else if let Some(_lock) = lock(&group) {
            remove(&group);
        }
    }
}

/// Removes a process's group with the groups of its jobs.
fn remove(group: &Path) {
    for job in groups_in(group, |_| true) {
        processes::kill_in(&job);
        remove_soon(&job);
    }
    remove_soon(group);
}

fn groups_in(place: &Path, is_one: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| entry.file_name().to_str().is_some_and(&is_one))
        .map(|entry| entry.path())
        .collect()
}

/// Enables a controller of version 2 for groups below this one.
pub(crate) fn enable(place: &Candidate, controller: Controller) -> io::Result<()> {
    const ENABLED: &str = "cgroup.subtree_control";
    if lists(&place.path.join(ENABLED), controller.name()) {
        return Ok(());
    }
    if !lists(&place.path.join("cgroup.controllers"), controller.name()) {
        return Err(io::Error::other(format!(
            "the {} controller is not delegated to this group",
            controller.name()
        )));
    }
    let enable = || write(&place.path, ENABLED, format!("+{}", controller.name()));
    match enable() {
        Err(error) if place.own && error.kind() == io::ErrorKind::ResourceBusy => {
            move_into_leaf(&place.path)?;
            enable()
        }
        enabled => enabled,
    }
}

/// Moves this process and its children into a group of their own: a group has either processes or limited groups.
fn move_into_leaf(group: &Path) -> io::Result<()> {
    let members = processes::of(group)?;
    if let Some(stranger) = members.iter().find(|member| !processes::is_ours(**member)) {
        return Err(io::Error::other(format!(
            "other processes share this group (process {stranger})"
        )));
    }
    let leaf = group.join(format!("{}{SERVER}", name()));
    fs::create_dir(&leaf)?;
    for member in members {
        match write(&leaf, "cgroup.procs", member) {
            // It ended meanwhile.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            moved => moved?,
        }
    }
    Ok(())
}
