//! The group of this process that its jobs' groups lie in, and the groups of processes that are gone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use super::controller::{Controller, write};
use super::place::{Candidate, lists};
use super::{processes, remove_soon};

/// What the names of our groups begin with.
const PREFIX: &str = "orchestrator-";

/// What the name of the group ends in that a process put itself into.
const SERVER: &str = ".server";

/// Attempts to make a group, in case another process takes it for a leftover before it is locked.
const ATTEMPTS: usize = 5;

/// A group that is locked as long as its process lives, which tells it from a leftover.
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
            "another process removes every group that is made here",
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

/// The lock of a group, unless a living process has it. It is seen through every mount of the hierarchy.
fn lock(group: &Path) -> Option<File> {
    let directory = File::open(group).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

fn same(found: &fs::Metadata, lock: &File) -> bool {
    lock.metadata()
        .is_ok_and(|locked| (locked.dev(), locked.ino()) == (found.dev(), found.ino()))
}

/// Removes what processes left that are gone, ending whatever still runs in it.
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

/// Removes the group of all jobs, and what is left of them.
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

/// Lets groups in this place use a controller of version 2.
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

/// A group has either processes or limited groups: this process and its children go into a group of their own.
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
