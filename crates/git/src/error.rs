//! Errors that several functions of this crate share. An error that callers branch on stands beside its function.

use crate::{lock_file::HeldLock, said};
use domain::CommitId;
use std::{
    io,
    path::{Path, PathBuf},
};

pub(crate) type GitResult<T> = Result<T, GitError>;

/// A failure that no caller branches on, or one that several functions share.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// libgit2 refused or failed.
    #[error("{doing}: {}", source.message())]
    Git {
        /// What was being done, with its values.
        doing: String,
        /// What libgit2 said.
        source: git2::Error,
    },
    /// The operating system refused or failed.
    #[error("{doing} {}: {source}{}", path.display(), io_way_out(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not an object id.
    #[error("'{text}' is not an object id: 40 hexadecimal digits are expected")]
    NotAnObjectId {
        /// The text that was given.
        text: String,
    },
    /// No commit has this name.
    #[error(
        "nothing in the repository is named '{revision}': give a branch, a tag or a commit id \
         (`git branch -a` and `git tag` list them)"
    )]
    UnknownRevision {
        /// The name that was given.
        revision: String,
    },
    /// Something else exists where the hub should be.
    #[error("{} is not a hub of this product: move it away, and the hub is made again", path.display())]
    NotAHub {
        /// Where the hub should be.
        path: PathBuf,
    },
    /// git can't name such a path as an alternate.
    #[error("{} has a line break in its name, which git can't follow: rename the directory", path.display())]
    NotAnAlternate {
        /// The directory of objects.
        path: PathBuf,
    },
    /// A reference was moved by someone else.
    #[error(
        "{reference} was expected at {}, but is at {}: another process moved it; nothing was changed",
        shown(.expected), shown(.found)
    )]
    Moved {
        /// The full name of the reference.
        reference: String,
        /// Where it should have been; `None`: it should not have existed.
        expected: Option<CommitId>,
        /// Where it is; `None`: it does not exist.
        found: Option<CommitId>,
    },
    /// Two commits have no common ancestor.
    #[error("{} and {} have no common history: they can't be merged", tip.short(), theirs.short())]
    Unrelated {
        /// The branch.
        tip: CommitId,
        /// The commit that was to be merged.
        theirs: CommitId,
    },
    /// The repository that the machines share was not reached, or refused.
    #[error("the shared hub {address}: {said}. {}", upstream_way_out(said))]
    Upstream {
        /// Its address.
        address: String,
        /// What git or the other side said.
        said: String,
    },
    /// A lock file of the repository that the machines share is in the way: of a push that is under way there, or of
    /// one that crashed.
    #[error(
        "the shared hub {address}: {said}. If no push is under way there, a push that crashed left the lock file: the \
         hub's administrator removes it"
    )]
    UpstreamLocked {
        /// Its address.
        address: String,
        /// What git said.
        said: String,
    },
    /// A lock file did not go away.
    #[error("{0}")]
    Locked(HeldLock),
    /// A program could not be started.
    #[error("`{command}` can't be started: {source}{}", start_way_out(source))]
    NotStarted {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The git program is too old, or failed.
    #[error("`{command}` failed: {said}{}", git_way_out(said))]
    Program {
        /// The command, without the hub's address.
        command: String,
        /// Its error output.
        said: String,
    },
    /// The git program took too long.
    #[error("`{command}` was stopped after {limit_s} s, which is its limit")]
    ProgramTooSlow {
        /// The command.
        command: String,
        /// The limit.
        limit_s: u64,
    },
}

impl GitError {
    /// What is temporarily unavailable and worth waiting for: `the shared hub`, `room on the disk`.
    pub fn outage(&self) -> Option<&'static str> {
        let disk_is_full = match self {
            Self::Upstream { .. } | Self::UpstreamLocked { .. } => return Some("the shared hub"),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Git { source, .. } => said::disk_is_full(source.message()),
            Self::Program { said, .. } => said::disk_is_full(said),
            _ => false,
        };
        disk_is_full.then_some("room on the disk")
    }

    pub(crate) fn git(doing: impl Into<String>, source: git2::Error) -> Self {
        Self::Git {
            doing: doing.into(),
            source,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// Adds what was being done when libgit2 failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> GitResult<T>;
}

impl<T> Doing<T> for Result<T, git2::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> GitResult<T> {
        self.map_err(|source| GitError::git(what(), source))
    }
}

/// Adds what was being done, and to which path, when the system failed.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> GitResult<T>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, doing: &'static str, path: &Path) -> GitResult<T> {
        self.map_err(|source| GitError::io(doing, path, source.into()))
    }
}

pub(crate) fn shown(commit: &Option<CommitId>) -> String {
    commit
        .as_ref()
        .map_or_else(|| "no commit".to_owned(), |commit| commit.short().to_owned())
}

fn io_way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (free some space, then retry)",
        io::ErrorKind::PermissionDenied => " (run as the user who owns it, or change its permissions)",
        io::ErrorKind::ReadOnlyFilesystem => " (choose a data directory that can be written)",
        _ => "",
    }
}

fn upstream_way_out(said: &str) -> &'static str {
    if said::ownership_is_dubious(said) {
        "Its directory has to belong to the account that this runs as"
    } else {
        "It has to be there (`git init --bare`), reachable from here, and writable"
    }
}

fn start_way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (install git 2.38 or newer and have it on PATH)",
        io::ErrorKind::PermissionDenied => " (the account that it runs as must be able to enter the directory)",
        _ => "",
    }
}

fn git_way_out(said: &str) -> &'static str {
    match said::merge_tree_is_too_old(said) {
        true => " (git 2.38 or newer is needed)",
        false => "",
    }
}
