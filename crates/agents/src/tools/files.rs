//! The files that a worker can reach: its worktree and, read-only, its directory of long outputs.
//!
//! The kernel resolves every path beneath an open directory, so that no `..`, symbolic link or race leads out of it.

mod error;
mod tree;
mod write;

pub(super) use error::FileError;
pub(super) use tree::{Kind, Tree};

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::policy::WritePolicy;

/// The two open directories.
#[derive(Debug)]
pub(super) struct Files {
    worktree: Tree,
    outputs: Tree,
}

/// A path as the model wrote it, and its resolution.
#[derive(Debug)]
pub(super) struct Place<'files> {
    pub(super) tree: &'files Tree,
    /// Without `..`, `.` or a leading slash; empty for the directory itself.
    pub(super) relative: PathBuf,
    pub(super) given: String,
}

impl Files {
    pub(super) fn open(worktree: &Path, outputs: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let open = |path: &Path| Tree::open(path).map_err(|source| (path.to_owned(), source));
        Ok(Self {
            worktree: open(worktree)?,
            outputs: open(outputs)?,
        })
    }

    /// Finds the directory of a path without accessing the disk.
    pub(super) fn locate(&self, given: &str) -> Result<Place<'_>, FileError> {
        let outside = || FileError::Outside {
            path: given.to_owned(),
            root: self.worktree.root().to_owned(),
        };
        if given.contains('\0') {
            return Err(FileError::NotAPath {
                path: given.replace('\0', "\u{fffd}"),
            });
        }
        let path = Path::new(given);
        let (tree, relative) = if path.is_absolute() {
            [&self.worktree, &self.outputs]
                .into_iter()
                .find_map(|tree| Some((tree, tree.relative(path)?)))
                .ok_or_else(outside)?
        } else {
            (&self.worktree, path)
        };
        let relative = without_dots(relative).ok_or_else(outside)?;
        if relative.iter().any(is_git_name) {
            return Err(FileError::Git { path: given.to_owned() });
        }
        Ok(Place {
            tree,
            relative,
            given: given.to_owned(),
        })
    }

    /// Replaces a file of the worktree, or creates it with its directories.
    pub(super) fn write(&self, given: &str, content: &[u8], policy: &WritePolicy) -> Result<write::Written, FileError> {
        let place = self.locate(given)?;
        if !std::ptr::eq(place.tree, &self.worktree) {
            return Err(FileError::ReadOnlyDirectory { path: given.to_owned() });
        }
        write::write(&place, content, policy)
    }
}

impl Place<'_> {
    /// Opens a regular file for reading.
    pub(super) fn open_file(&self) -> Result<(File, u64), FileError> {
        self.tree.open_file(&self.relative, &self.given)
    }

    /// Reads a whole file of limited size.
    pub(super) fn read(&self, limit_bytes: u64) -> Result<Vec<u8>, FileError> {
        let too_large = |bytes| FileError::TooLarge {
            path: self.given.clone(),
            bytes,
            limit_bytes,
        };
        let (file, bytes) = self.open_file()?;
        if bytes > limit_bytes {
            return Err(too_large(bytes));
        }
        let mut content = Vec::new();
        let read = file.take(limit_bytes + 1).read_to_end(&mut content);
        read.map_err(|source| FileError::System {
            doing: "read",
            path: self.given.clone(),
            source,
        })?;
        if content.len() as u64 > limit_bytes {
            return Err(too_large(content.len() as u64));
        }
        Ok(content)
    }
}

/// Resolves `.` and `..` lexically; `None` if that leads out.
fn without_dots(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Whether git would treat a file of this name as its own, on any file system.
pub(super) fn is_git_name(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case(".git")
}

#[cfg(test)]
mod tests;
