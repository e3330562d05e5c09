//! Inspection of a workspace's path, before anything is changed.

use crate::{
    error::GitError,
    ids::commit_id,
    snapshot::walk::UNFINISHED_GIT,
    user_repository::{account::is_ours, format, user_git},
};
use domain::CommitId;
use git2::{ErrorCode, Repository, RepositoryState, StatusOptions, StatusShow};
use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    io::Errno,
};
use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// What is at a path that can be a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A repository with a checkout.
    Repository {
        /// Its commit; `None` if there is none yet: a run then starts from [`crate::Hub::empty_root`].
        head: Option<CommitId>,
        /// The branch that is checked out; `None` if HEAD is detached.
        branch: Option<String>,
        /// Whether there is work that is not committed. A run neither sees nor touches it.
        dirty: bool,
    },
    /// Nothing: [`crate::initialise()`] makes a repository.
    Missing,
    /// A directory with nothing in it: [`crate::initialise()`] makes it a repository.
    Empty,
    /// A directory with files and without git: [`crate::initialise()`] makes it a repository that holds them.
    PlainDirectory,
}

/// Why a path can't be a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A file, or something below a file.
    #[error("{} is a file: give the directory of a git repository, or a directory that does not exist yet", path.display())]
    IsAFile {
        /// The path, or the part of it that is a file.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("{} can't be read: {source}. Run as a user who may, or change its permissions", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A bare repository.
    #[error("{} is a bare repository: clone it (`git clone {}`) and give the clone", path.display(), path.display())]
    Bare {
        /// The path.
        path: PathBuf,
    },
    /// A merge, rebase or the like is under way.
    #[error("{} is in the middle of a {operation}: finish it, or abort it with `{way_out}`", path.display())]
    Unfinished {
        /// The path.
        path: PathBuf,
        /// What is under way.
        operation: &'static str,
        /// The command that aborts it.
        way_out: &'static str,
    },
    /// Someone else's.
    #[error(
        "{} is owned by another user{}: run as that user, or, for a repository you trust, say \
         `git config --global --add safe.directory {}`",
        path.display(), owner.map(|uid| format!(" (uid {uid})")).unwrap_or_default(), path.display()
    )]
    OwnedByAnother {
        /// The path.
        path: PathBuf,
        /// The owner, if known.
        owner: Option<u32>,
    },
    /// A directory inside a repository.
    #[error("{} lies inside the repository {}: give that one, or a directory outside of it", path.display(), root.display())]
    InsideRepository {
        /// The path.
        path: PathBuf,
        /// The repository.
        root: PathBuf,
    },
    /// A directory of git's own.
    #[error("{} lies inside the git directory {}: give a directory outside of it", path.display(), git.display())]
    InsideGit {
        /// The path.
        path: PathBuf,
        /// The `.git`, or the bare repository.
        git: PathBuf,
    },
    /// A repository in a format that is not supported.
    #[error("{} uses {feature}, which is not supported: {way_out}", path.display())]
    UnsupportedFormat {
        /// The path.
        path: PathBuf,
        /// The feature, with the setting that names it.
        feature: String,
        /// How to get a repository that can be used.
        way_out: String,
    },
    /// A repository that a branch can't be delivered to.
    #[error(
        "{} can't be written ({source}), so a branch can't be delivered to {}: run as the account that owns it, change \
         its permissions, or clone the repository (`git clone {}`) and give the clone",
        part.display(), path.display(), path.display()
    )]
    ReadOnly {
        /// The path.
        path: PathBuf,
        /// The directory that can't be written.
        part: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A repository that can't be used as it is.
    #[error("{} is a git repository that can't be used: {said}. `git fsck` and `git status` there may say more", path.display())]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What libgit2 said.
        said: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Looks at a path without changing anything.
pub fn inspect(path: &Path) -> Result<Found, WorkspaceError> {
    let named = |ancestor: &&Path| {
        ancestor
            .file_name()
            .is_some_and(|name| name.eq_ignore_ascii_case(".git"))
    };
    if let Some(git) = path.ancestors().find(named) {
        return Err(inside_git(path, git));
    }
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            return Err(WorkspaceError::IsAFile { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return missing(path);
        }
        Err(source) => {
            return Err(WorkspaceError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    }
    if let Err(source) = fs::read_dir(path) {
        return Err(WorkspaceError::Unreadable {
            path: path.to_owned(),
            source,
        });
    }
    format::check(path)?;
    match Repository::open(path) {
        Ok(repository) => inspect_repository(path, &repository),
        Err(error) if error.code() == ErrorCode::NotFound && !path.join(".git").exists() => plain_directory(path),
        Err(error) if error.code() == ErrorCode::Owner => Err(owned_by_another(path)),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn inspect_repository(path: &Path, repository: &Repository) -> Result<Found, WorkspaceError> {
    if repository.is_bare() {
        return Err(WorkspaceError::Bare { path: path.to_owned() });
    }
    if let Some((operation, way_out)) = unfinished(repository.state()) {
        return Err(WorkspaceError::Unfinished {
            path: path.to_owned(),
            operation,
            way_out,
        });
    }
    let (head, branch) = match repository.head() {
        Ok(head) => {
            let commit = head.peel_to_commit().map_err(|error| unusable(path, &error))?;
            let name = head.shorthand().ok().map(str::to_owned);
            (Some(commit_id(commit.id())), name.filter(|_| head.is_branch()))
        }
        Err(error) if error.code() == ErrorCode::UnbornBranch => {
            let head = repository.find_reference("HEAD").ok();
            let target = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
            (
                None,
                target
                    .and_then(|name| name.strip_prefix("refs/heads/"))
                    .map(str::to_owned),
            )
        }
        Err(error) => return Err(unusable(path, &error)),
    };
    check_writable(path, repository)?;
    let dirty = match user_git::needs_git(repository) {
        true => user_git::is_dirty(repository)?,
        false => is_dirty(repository).map_err(|error| unusable(path, &error))?,
    };
    Ok(Found::Repository { head, branch, dirty })
}

/// Whether a branch can be delivered, which is known before anything is spent.
fn check_writable(path: &Path, repository: &Repository) -> Result<(), WorkspaceError> {
    let common = repository.commondir();
    for part in ["objects", "objects/pack", "refs", "refs/heads"].map(|part| common.join(part)) {
        let permitted = accessat(CWD, &part, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        match permitted {
            // One that is missing is made.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                return Err(WorkspaceError::ReadOnly {
                    path: path.to_owned(),
                    part,
                    source: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Staged, changed or untracked files. The index is not written, so nothing there changes by looking.
fn is_dirty(repository: &Repository) -> Result<bool, git2::Error> {
    let mut options = StatusOptions::new();
    options
        .show(StatusShow::IndexAndWorkdir)
        .include_untracked(true)
        .update_index(false)
        .exclude_submodules(true);
    Ok(!repository.statuses(Some(&mut options))?.is_empty())
}

/// What git calls the state, and how to leave it. A bisection only moves HEAD, which we don't.
fn unfinished(state: RepositoryState) -> Option<(&'static str, &'static str)> {
    match state {
        RepositoryState::Clean | RepositoryState::Bisect => None,
        RepositoryState::Merge => Some(("merge", "git merge --abort")),
        RepositoryState::Revert | RepositoryState::RevertSequence => Some(("revert", "git revert --abort")),
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => {
            Some(("cherry-pick", "git cherry-pick --abort"))
        }
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => {
            Some(("rebase", "git rebase --abort"))
        }
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => Some(("git am", "git am --abort")),
    }
}

fn plain_directory(path: &Path) -> Result<Found, WorkspaceError> {
    let metadata = fs::metadata(path).map_err(|source| WorkspaceError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    if !is_ours(metadata.uid()) {
        return Err(owned_by_another(path));
    }
    refuse_inside(path, path)?;
    let unreadable = |source| WorkspaceError::Unreadable {
        path: path.to_owned(),
        source,
    };
    for entry in fs::read_dir(path).map_err(unreadable)? {
        // An earlier attempt that was interrupted left it; the next one replaces it.
        if entry.map_err(unreadable)?.file_name().as_bytes() != UNFINISHED_GIT {
            return Ok(Found::PlainDirectory);
        }
    }
    Ok(Found::Empty)
}

/// The nearest part of the path that exists decides what may be made below it.
fn missing(path: &Path) -> Result<Found, WorkspaceError> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        let source = io::Error::new(io::ErrorKind::NotFound, "it is a symlink to nothing");
        return Err(WorkspaceError::Unreadable {
            path: path.to_owned(),
            source,
        });
    }
    let existing = path.ancestors().skip(1).find(|ancestor| ancestor.exists());
    match existing {
        Some(existing) if !existing.is_dir() => Err(WorkspaceError::IsAFile {
            path: existing.to_owned(),
        }),
        Some(existing) => refuse_inside(path, existing).map(|()| Found::Missing),
        None => Ok(Found::Missing),
    }
}

/// A repository in a repository would be seen by the outer one, unless that ignores the place.
fn refuse_inside(path: &Path, existing: &Path) -> Result<(), WorkspaceError> {
    let outer = match Repository::discover(existing) {
        Ok(outer) => outer,
        Err(error) if error.code() == ErrorCode::Owner => return Err(owned_by_another(path)),
        Err(_) => return Ok(()),
    };
    let Some(root) = outer.workdir() else {
        return Err(inside_git(path, outer.path()));
    };
    let Ok(existing) = existing.canonicalize() else {
        return Ok(());
    };
    let below = existing.strip_prefix(root.canonicalize().unwrap_or_else(|_| root.to_owned()));
    let ignored =
        below.is_ok_and(|below| !below.as_os_str().is_empty() && outer.is_path_ignored(below).unwrap_or(false));
    match ignored {
        true => Ok(()),
        false => Err(WorkspaceError::InsideRepository {
            path: path.to_owned(),
            root: root.to_owned(),
        }),
    }
}

fn inside_git(path: &Path, git: &Path) -> WorkspaceError {
    WorkspaceError::InsideGit {
        path: path.to_owned(),
        git: git.to_owned(),
    }
}

fn owned_by_another(path: &Path) -> WorkspaceError {
    let owners = [path.to_owned(), path.join(".git")];
    let owner = owners
        .iter()
        .filter_map(|path| Some(fs::metadata(path).ok()?.uid()))
        .find(|uid| !is_ours(*uid));
    WorkspaceError::OwnedByAnother {
        path: path.to_owned(),
        owner,
    }
}

fn unusable(path: &Path, error: &git2::Error) -> WorkspaceError {
    WorkspaceError::Unusable {
        path: path.to_owned(),
        said: error.message().to_owned(),
    }
}
