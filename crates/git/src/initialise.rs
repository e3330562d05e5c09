//! Making a repository where there is none.

use crate::{
    durable::sync_directory,
    error::{At, Doing, GitError},
    hub::{find_tree, write_commit},
    ids::{Stamp, commit_oid},
    stat_cache::StatCache,
    walk::{UNFINISHED_GIT, write_tree},
    walk_error::{TreeLimits, WalkError},
    workspace::{Found, WorkspaceError, inspect},
};
use domain::CommitId;
use git2::{Repository, RepositoryInitOptions};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

const BRANCH: &str = "main";

/// A repository that has at least one commit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// Its first commit: empty for a path that did not exist, else what the folder held.
    pub head: CommitId,
}

/// Makes a repository on branch `main` with a first commit at a path that [`inspect`] finds missing or a plain
/// folder. What is in the folder is committed, but for what its `.gitignore` names; its files are not touched.
///
/// The `.git` directory appears complete or not at all, so a death in between is mended by doing it again.
pub fn initialise(path: &Path, stamp: &Stamp, limits: &TreeLimits) -> Result<Initialised, InitialiseError> {
    match inspect(path)? {
        Found::Repository { head: Some(head), .. } => return Ok(Initialised { head }),
        Found::Repository { head: None, .. } => {
            return Err(InitialiseError::NoCommit { path: path.to_owned() });
        }
        Found::Missing => fs::create_dir_all(path).at("can't make the directory", path)?,
        Found::PlainFolder => {}
    }
    let making = path.join(OsStr::from_bytes(UNFINISHED_GIT));
    match fs::remove_dir_all(&making) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(GitError::io("can't remove the unfinished", &making, error).into());
        }
        _ => {}
    }
    let head = make(path, &making, stamp, limits)?;
    let git = path.join(".git");
    fs::rename(&making, &git).at("can't put the new repository in place at", &git)?;
    sync_directory(path)?;
    Ok(Initialised { head })
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
    /// The folder holds something that can't be committed.
    #[error(transparent)]
    Refused(WalkError),
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl From<WalkError> for InitialiseError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Git(error) => Self::Git(error),
            refused => Self::Refused(refused),
        }
    }
}

fn make(path: &Path, making: &Path, stamp: &Stamp, limits: &TreeLimits) -> Result<CommitId, InitialiseError> {
    let doing = || format!("can't make a repository at {}", path.display());
    let mut options = RepositoryInitOptions::new();
    options
        .no_dotgit_dir(true)
        .bare(true)
        .no_reinit(true)
        .external_template(false)
        .initial_head(BRANCH);
    let repository = Repository::init_opts(making, &options).doing(doing)?;
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
    Ok(head)
}
