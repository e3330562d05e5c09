//! Writes files atomically.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::policy::WritePolicy;
use super::{FileError, Kind, Place};

/// The result of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Written {
    Created,
    Replaced,
}

/// The target of a write, with links resolved and the policy checked.
struct Target {
    relative: PathBuf,
    /// The mode of the file that is replaced.
    mode: Option<Mode>,
}

pub(super) fn write(place: &Place<'_>, content: &[u8], policy: &WritePolicy) -> Result<Written, FileError> {
    let target = target(place)?;
    permit(policy, &target.relative, place)?;
    let name = target.relative.file_name().ok_or_else(|| FileError::IsDirectory {
        path: place.given.clone(),
    })?;
    let parent = target.relative.parent().unwrap_or(Path::new(""));
    let (directory, real_parent) = open_or_make_directory(place, parent)?;
    // The path of a new file may lead through a linked directory.
    permit(policy, &real_parent.join(name), place)?;
    replace(&directory, Path::new(name), content, target.mode).map_err(|source| failed(place, source))?;
    Ok(if target.mode.is_some() {
        Written::Replaced
    } else {
        Written::Created
    })
}

/// A write through a link changes its target, as in an editor.
fn target(place: &Place<'_>) -> Result<Target, FileError> {
    match place.tree.find(&place.relative, &place.given)? {
        None if place.tree.is_link(&place.relative) => Err(FileError::Dangling {
            path: place.given.clone(),
        }),
        None => Ok(Target {
            relative: place.relative.clone(),
            mode: None,
        }),
        Some(found) => match Kind::of(&found.stat) {
            Kind::File => {
                let mode = Mode::from_raw_mode(found.stat.st_mode);
                Ok(Target {
                    relative: found.real,
                    mode: Some(mode),
                })
            }
            Kind::Directory => Err(FileError::IsDirectory {
                path: place.given.clone(),
            }),
            Kind::Link | Kind::Special => Err(FileError::Special {
                path: place.given.clone(),
            }),
        },
    }
}

fn permit(policy: &WritePolicy, relative: &Path, place: &Place<'_>) -> Result<(), FileError> {
    if policy.permits(relative) {
        Ok(())
    } else {
        Err(FileError::NotPermitted {
            path: place.given.clone(),
            allowed: policy.to_string(),
        })
    }
}

/// Creates the missing directories of a path. Returns the resolved path of the last one.
fn open_or_make_directory(place: &Place<'_>, relative: &Path) -> Result<(OwnedFd, PathBuf), FileError> {
    if let Some(directory) = open_directory(place, relative)? {
        return Ok(directory);
    }
    let (Some(name), Some(above)) = (relative.file_name(), relative.parent()) else {
        return Err(FileError::NotFound {
            path: place.given.clone(),
        });
    };
    let (above, _) = open_or_make_directory(place, above)?;
    match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed(place, error.into())),
    }
    // It exists now; if it can't be opened, it is a broken link.
    open_directory(place, relative)?.ok_or_else(|| FileError::Dangling {
        path: place.given.clone(),
    })
}

/// `None` if it does not exist. A directory of git's is refused here, before anything is created in it.
fn open_directory(place: &Place<'_>, relative: &Path) -> Result<Option<(OwnedFd, PathBuf)>, FileError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    match place.tree.open_beneath(relative, flags) {
        Ok(directory) => {
            let real = place.tree.found(&directory, &place.given)?.real;
            Ok(Some((directory, real)))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(place.tree.explain(error, &place.given)),
    }
}

/// Writes a temporary file, then renames it over the target.
fn replace(directory: &OwnedFd, name: &Path, content: &[u8], mode: Option<Mode>) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = format!(".orchestrator-write-{}-{number}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, beside.as_str(), flags, Mode::from_raw_mode(0o666))?;
    let written = fill(file, content, mode)
        .and_then(|()| rustix::fs::renameat(directory, beside.as_str(), directory, name).map_err(io::Error::from));
    if written.is_err() {
        // Report the error of writing.
        rustix::fs::unlinkat(directory, beside.as_str(), AtFlags::empty()).unwrap_or_default();
    }
    written
}

fn fill(file: OwnedFd, content: &[u8], mode: Option<Mode>) -> io::Result<()> {
    if let Some(mode) = mode {
        rustix::fs::fchmod(&file, mode)?;
    }
    File::from(file).write_all(content)
}

fn failed(place: &Place<'_>, source: io::Error) -> FileError {
    FileError::System {
        doing: "write",
        path: place.given.clone(),
        source,
    }
}
