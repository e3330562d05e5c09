//! Making a repository where there is none, and taking it away again when nothing came of it.

use crate::{
    error::{At, Doing, GitError, GitResult},
    files::{remove_directory, sync_directory},
    hub::{find_tree, write_commit},
    ids::{Stamp, commit_oid},
    private::{self, Private},
    snapshot::{
        limits::{TreeLimits, WalkError},
        stat_cache::StatCache,
        walk::{UNFINISHED_GIT, write_tree},
    },
    user_repository::{
        account::Account,
        inspect::{Found, WorkspaceError, inspect},
    },
};
use domain::CommitId;
use git2::{ErrorCode, Repository, RepositoryInitOptions};
use std::{
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
};

const BRANCH: &str = "main";
/// In a repository that we made, until it is settled that it stays: it names its first commit.
const MADE: &str = "orchestrator-made";

/// A repository that has at least one commit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// Its first commit: empty for a path that did not exist, else what the directory held.
    pub head: CommitId,
}

/// The directories that [`initialise`] would make for a path, the outermost first.
pub fn missing_directories(path: &Path) -> Vec<PathBuf> {
    let missing = path
        .ancestors()
        .take_while(|ancestor| ancestor.symlink_metadata().is_err());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Makes a repository on branch `main` with a first commit at a path that [`inspect`] finds missing, empty or a plain
/// directory. What is in the directory is committed, but for what its `.gitignore` names; its files are not touched. What is
/// made is for our own account only; under sudo, for the calling user's in that user's directories.
///
/// The `.git` directory appears complete or not at all. A failed attempt removes what it made; what one
/// that crashed left is removed by the next, or by [`undo_initialise`]. Until [`settle_initialised`] the repository
/// can be taken away again.
pub fn initialise(path: &Path, stamp: &Stamp, limits: &TreeLimits) -> Result<Initialised, InitialiseError> {
    match inspect(path)? {
        Found::Repository { head: Some(head), .. } => return Ok(Initialised { head }),
        Found::Repository { head: None, .. } => {
            return Err(InitialiseError::NoCommit { path: path.to_owned() });
        }
        Found::Missing | Found::Empty | Found::PlainDirectory => {}
    }
    let directories = missing_directories(path);
    let made = make_in(path, &directories, stamp, limits);
    if made.is_err()
        && let Err(error) = remove_unfinished(path, &directories)
    {
        // The failure itself says more.
        return made.map_err(|failed| failed.with_leftover(&error));
    }
    made
}

/// Removes what [`initialise`] made at a path: what is unfinished, a repository that is as it was made and not settled,
/// and the `directories` that were made for it, if nothing is in them. Everything else stays. Repeating it is fine.
pub fn undo_initialise(path: &Path, directories: &[PathBuf]) -> GitResult<()> {
    let git = path.join(".git");
    if is_as_made(path)? {
        let unfinished = path.join(OsStr::from_bytes(UNFINISHED_GIT));
        remove_directory(&unfinished)?;
        // From here on it is no repository, whatever happens.
        fs::rename(&git, &unfinished).at("can't remove", &git)?;
    }
    remove_unfinished(path, directories)
}

/// A repository that [`initialise`] made stays from now on.
pub fn settle_initialised(path: &Path) -> GitResult<()> {
    let mark = path.join(".git").join(MADE);
    match fs::remove_file(&mark) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(GitError::io("can't remove", &mark, error))
        }
        _ => Ok(()),
    }
}

/// Whether the repository was made by us, and nobody has committed to it or made a branch.
fn is_as_made(path: &Path) -> GitResult<bool> {
    let Ok(head) = fs::read_to_string(path.join(".git").join(MADE)) else {
        return Ok(false);
    };
    let doing = || format!("can't look at the repository {}", path.display());
    let repository = Repository::open(path).doing(doing)?;
    let own = (format!("refs/heads/{BRANCH}"), head.trim().to_owned());
    for reference in repository.references().doing(doing)? {
        let reference = reference.doing(doing)?;
        let name = reference.name().unwrap_or_default().to_owned();
        let at = reference.target().map(|oid| oid.to_string()).unwrap_or_default();
        if (name, at) != own {
            return Ok(false);
        }
    }
    match repository.head() {
        Ok(found) => Ok(found.name().is_ok_and(|name| name == own.0)),
        Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(false),
        Err(error) => Err(GitError::git(doing(), error)),
    }
}

fn remove_unfinished(path: &Path, directories: &[PathBuf]) -> GitResult<()> {
    remove_directory(&path.join(OsStr::from_bytes(UNFINISHED_GIT)))?;
    for directory in directories.iter().rev() {
        match fs::remove_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Somebody put something there: it is theirs now.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) => return Err(error).at("can't remove", directory),
        }
    }
    Ok(())
}

/// Why there is no new repository.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseError {
    /// The path can't be a workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A repository without a commit: its owner is about to make the first one.
    #[error("{} is a repository without a commit: make the first one (`git commit`), or let the run start empty", path.display())]
    NoCommit {
        /// The path.
        path: PathBuf,
    },
    /// The directory holds something that can't be committed.
    #[error(transparent)]
    Refused(WalkError),
    /// It failed, and what it had made could not all be removed.
    #[error("{failed}; and what was made could not be removed: {leftover}")]
    Leftover {
        /// Why there is no repository.
        failed: Box<Self>,
        /// What is left, and why.
        leftover: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl InitialiseError {
    fn with_leftover(self, error: &GitError) -> Self {
        Self::Leftover {
            failed: Box::new(self),
            leftover: error.to_string(),
        }
    }
}

impl From<WalkError> for InitialiseError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Git(error) => Self::Git(error),
            refused => Self::Refused(refused),
        }
    }
}

fn make_in(
    path: &Path,
    directories: &[PathBuf],
    stamp: &Stamp,
    limits: &TreeLimits,
) -> Result<Initialised, InitialiseError> {
    let _private = Private::begin();
    let existing = directories.first().map_or(Some(path), |first| first.parent());
    let account = existing.and_then(Account::to_write_as);
    for directory in directories {
        // Not one that is there meanwhile: it is somebody else's.
        DirBuilder::new()
            .mode(0o700)
            .create(directory)
            .at("can't make the directory", directory)?;
    }
    let making = path.join(OsStr::from_bytes(UNFINISHED_GIT));
    remove_directory(&making)?;
    let head = make(path, &making, stamp, limits)?;
    if let Some(account) = account {
        account.take_over(&making)?;
    }
    let git = path.join(".git");
    fs::rename(&making, &git).at("can't put the new repository in place at", &git)?;
    sync_directory(path)?;
    if let Some(account) = account {
        directories.iter().try_for_each(|directory| account.own(directory))?;
    }
    Ok(Initialised { head })
}

fn make(path: &Path, making: &Path, stamp: &Stamp, limits: &TreeLimits) -> Result<CommitId, InitialiseError> {
    let doing = || format!("can't make a repository at {}", path.display());
    DirBuilder::new()
        .mode(0o700)
        .create(making)
        .at("can't make the directory", making)?;
    let mut options = RepositoryInitOptions::new();
    options
        .no_dotgit_dir(true)
        .bare(true)
        .no_reinit(true)
        .external_template(false)
        .initial_head(BRANCH);
    let repository = Repository::init_opts(making, &options).doing(doing)?;
    // Whatever the system's umask is.
    private::close(making)?;
    let tree = write_tree(&repository, path, None, StatCache::default(), limits)?;
    let tree = find_tree(&repository, tree)?;
    let head = write_commit(&repository, &tree, &[], stamp)?;
    let branch = format!("refs/heads/{BRANCH}");
    repository
        .reference(&branch, commit_oid(&head)?, false, "orchestrator: first commit")
        .doing(doing)?;
    // Without times, which `git status` fills in: the files are as the index says.
    let mut index = repository.index().doing(doing)?;
    index.read_tree(&tree).and_then(|()| index.write()).doing(doing)?;
    let mut config = repository.config().doing(doing)?;
    config.set_bool("core.bare", false).doing(doing)?;
    config.set_bool("core.logAllRefUpdates", true).doing(doing)?;
    let mark = making.join(MADE);
    fs::write(&mark, &head.0).at("can't write", &mark)?;
    Ok(head)
}
