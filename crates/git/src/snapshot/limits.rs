//! What a recorded directory may hold, and why one is refused.

use crate::{error::GitError, ids::RepoPath, tree::MAX_DEPTH};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

/// What one snapshot may add. What the base holds already does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeLimits {
    /// New and changed files.
    pub max_changed_files: usize,
    /// The size of one new or changed file.
    pub max_file_bytes: u64,
    /// The size of all new and changed files.
    pub max_changed_bytes: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            max_changed_files: 20_000,
            max_file_bytes: 20 << 20,
            max_changed_bytes: 500 << 20,
        }
    }
}

/// Why a directory can't become a tree.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A repository inside.
    #[error(
        "'{path}' is a git repository inside the worktree: it can't be recorded. Remove it, or name its directory in .gitignore"
    )]
    NestedRepository {
        /// Its `.git`.
        path: RepoPath,
    },
    /// Files where a submodule belongs.
    #[error(
        "'{path}' is a submodule of this repository, and files were put into it: they can't be recorded. Leave the directory empty"
    )]
    InsideSubmodule {
        /// The submodule.
        path: RepoPath,
    },
    /// A name that git reserves.
    #[error(
        "{path:?} can't be recorded: on some file system its name is .git, so git refuses it. Rename it, or name it in .gitignore"
    )]
    ReservedName {
        /// The name.
        path: RepoPath,
    },
    /// A symlink, or a directory, where git reads a file.
    #[error(
        "{path:?} can't be recorded: git reads it as {file} and takes nothing but a regular file for that. Write a file there, or remove it"
    )]
    NoFile {
        /// The path.
        path: RepoPath,
        /// The file that git takes it for.
        file: &'static str,
    },
    /// One file is too large.
    #[error(
        "'{path}' has {bytes} bytes, more than the limit of {limit} for one file. Remove it, or name it in .gitignore, or raise max_file_bytes"
    )]
    FileTooLarge {
        /// The file.
        path: RepoPath,
        /// Its size.
        bytes: u64,
        /// `max_file_bytes`.
        limit: u64,
    },
    /// All files together are too large.
    #[error(
        "the new and changed files have more than {limit} bytes together (reached at '{path}'). Name what was generated in .gitignore, or raise max_changed_bytes"
    )]
    TooManyBytes {
        /// The file that was one too many.
        path: RepoPath,
        /// `max_changed_bytes`.
        limit: u64,
    },
    /// Too many files.
    #[error(
        "more than {limit} files are new or changed (reached at '{path}'). Name what was generated in .gitignore, or raise max_changed_files"
    )]
    TooManyFiles {
        /// The file that was one too many.
        path: RepoPath,
        /// `max_changed_files`.
        limit: usize,
    },
    /// Too deep.
    #[error(
        "'{path}' is more than {MAX_DEPTH} directories deep: it can't be recorded. Remove it, or name it in .gitignore"
    )]
    TooDeep {
        /// The directory.
        path: RepoPath,
    },
    /// The system refused.
    #[error("can't read '{path}' in {}: {source}. Make it readable, or remove it", root.display())]
    Unreadable {
        /// The directory that is being recorded.
        root: PathBuf,
        /// What could not be read.
        path: RepoPath,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}
