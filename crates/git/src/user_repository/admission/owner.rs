//! Who owns a directory, and who could put another in its place.

use super::{refused::NotAdmitted, walk::Walked};
use crate::user_repository::inspect::WorkspaceError;
use git2::Config;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Everybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// Only who owns an entry may rename it.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Whether what an account owns is this process's to work on.
pub(crate) fn is_ours(owner: u32) -> bool {
    let me = rustix::process::geteuid().as_raw();
    // As git: under sudo, what belongs to the calling user is ours as well.
    let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    owner == me || me == ROOT && caller == Some(owner)
}

/// Whether an account may decide where a path leads: we, root, and what stands for root in a user namespace that does
/// not have it.
pub(super) fn is_trusted(owner: u32) -> bool {
    is_ours(owner) || owner == ROOT || unmapped() == Some(owner)
}

/// Whether git's `safe.directory` names this very directory: then its owner decided to trust it, and where it lies. The
/// `*` that names all directories names none.
pub(super) fn is_named_safe(path: &Path) -> bool {
    let Ok(config) = Config::open_default() else {
        return false;
    };
    let Ok(mut entries) = config.multivar("safe.directory", None) else {
        return false;
    };
    let mut named = false;
    while let Some(entry) = entries.next() {
        match entry.ok().and_then(|entry| entry.value().ok().map(PathBuf::from)) {
            // An empty value takes back what was said before it.
            Some(value) if value.as_os_str().is_empty() => named = false,
            Some(value) => named |= value == path,
            None => {}
        }
    }
    named
}

/// Who may write to a directory on the way may put another one in its place.
pub(super) fn check_ancestors(walked: &Walked, trusted: bool) -> Result<(), NotAdmitted> {
    let first = usize::from(walked.missing.is_empty());
    for ancestor in walked.existing.ancestors().skip(first) {
        let metadata = metadata(ancestor)?;
        if trusted {
            continue;
        }
        let mode = metadata.mode();
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            return Err(open_to_all(ancestor, mode));
        }
        // What root is led to, root does; an ordinary account is led to no more than it has.
        if rustix::process::geteuid().is_root() && !is_trusted(metadata.uid()) {
            return Err(NotAdmitted::BelowAnother {
                path: walked.path(),
                parent: ancestor.to_owned(),
                owner: metadata.uid(),
            });
        }
    }
    Ok(())
}

/// A directory is made only in one of ours, or of the system's.
pub(super) fn check_parent(walked: &Walked) -> Result<(), NotAdmitted> {
    let owner = metadata(&walked.existing)?.uid();
    match is_trusted(owner) {
        true => Ok(()),
        false => Err(NotAdmitted::BelowAnother {
            path: walked.path(),
            parent: walked.existing.clone(),
            owner,
        }),
    }
}

/// The directory itself is ours alone to write to.
pub(super) fn check_directory(path: &Path, trusted: bool) -> Result<(), NotAdmitted> {
    let metadata = metadata(path)?;
    if trusted {
        return Ok(());
    }
    if !is_ours(metadata.uid()) {
        let owner = Some(metadata.uid());
        let path = path.to_owned();
        return Err(WorkspaceError::OwnedByAnother { path, owner }.into());
    }
    match metadata.mode() & OTHERS_WRITE {
        0 => Ok(()),
        _ => Err(open_to_all(path, metadata.mode())),
    }
}

fn open_to_all(path: &Path, mode: u32) -> NotAdmitted {
    NotAdmitted::OpenToAll {
        path: path.to_owned(),
        mode: mode & 0o7777,
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata, NotAdmitted> {
    fs::symlink_metadata(path).map_err(|source| {
        let path = path.to_owned();
        WorkspaceError::Unreadable { path, source }.into()
    })
}

/// The home that the file of accounts has for the one that this runs as.
pub(super) fn home_of_account() -> Option<PathBuf> {
    let me = rustix::process::geteuid().as_raw().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let own = accounts.lines().find(|line| line.split(':').nth(2) == Some(&me))?;
    own.split(':').nth(5).map(PathBuf::from)
}

/// The account that files of accounts outside of this user namespace appear to have; `None` where all are inside.
fn unmapped() -> Option<u32> {
    static UNMAPPED: OnceLock<Option<u32>> = OnceLock::new();
    *UNMAPPED.get_or_init(|| {
        let map = fs::read_to_string("/proc/self/uid_map").ok()?;
        if map.split_whitespace().eq(["0", "0", "4294967295"]) {
            return None;
        }
        let shown = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
        shown.trim().parse().ok()
    })
}
