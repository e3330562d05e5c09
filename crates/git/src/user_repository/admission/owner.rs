//! Who owns a directory, and who could put another in its place.

use super::{refused::NotAdmitted, walk::Walked};
use crate::user_repository::{
    account::{is_ours, is_trusted},
    inspect::WorkspaceError,
};
use git2::Config;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Everybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// Only who owns an entry may rename it.
const STICKY: u32 = 0o1000;

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
