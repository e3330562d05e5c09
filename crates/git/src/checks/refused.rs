//! What no commit of ours may add, wherever it came from: a worktree, a merge, a decided conflict, another machine.

use crate::{
    checks::filters::{Filtered, UserAttributes},
    error::{GitError, GitResult},
    hub::{Hub, find_tree, tree_of},
    ids::{RepoPath, commit_oid},
    tree::{
        Entry, MAX_DEPTH, TREE, entry,
        reserved::{Reserved, reserved},
    },
};
use domain::CommitId;
use git2::{Repository, Tree};

/// Why a commit is rejected. The worker that made it can fix it.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A name that is `.git` somewhere.
    #[error(
        "{path:?} can't be delivered: on some file system its name is .git, so git refuses it. Rename or remove it"
    )]
    ReservedName {
        /// The path.
        path: RepoPath,
    },
    /// A symlink, or a directory, where git reads a file.
    #[error(
        "{path:?} can't be delivered: git reads it as {file} and takes nothing but a regular file for that. Write a file there, or remove it"
    )]
    NoFile {
        /// The path.
        path: RepoPath,
        /// The file that git takes it for.
        file: &'static str,
    },
    /// Written to a path with a filter.
    #[error(
        "'{path}' can't be delivered: .gitattributes passes it through filter={filter} (as git-crypt and git-lfs do), no \
         filter runs here, and what was written would be committed as it stands, a secret in clear text. Leave the \
         file as it was, and report what is to be written there by a person"
    )]
    Filtered {
        /// The path.
        path: RepoPath,
        /// The name of the filter.
        filter: String,
    },
    /// Too deep to be looked at.
    #[error("'{path}' can't be delivered: it is more than {MAX_DEPTH} directories deep. Remove it")]
    TooDeep {
        /// The directory.
        path: RepoPath,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Hub {
    /// Looks at all that `commit` has and `base` has not. What the base holds already is not refused.
    pub fn check(&self, base: &CommitId, commit: &CommitId, user: &UserAttributes) -> Result<(), Refused> {
        self.check_names(base, commit)?;
        match self.filtered(base, commit, user)? {
            Some(Filtered { path, filter }) => Err(Refused::Filtered { path, filter }),
            None => Ok(()),
        }
    }

    fn check_names(&self, base: &CommitId, commit: &CommitId) -> Result<(), Refused> {
        self.with(|handle| {
            let repository = &handle.objects;
            let base = tree_of(repository, commit_oid(base)?)?;
            let tree = tree_of(repository, commit_oid(commit)?)?;
            check(repository, Some(&base), &tree, b"")
        })
    }
}

fn check(repository: &Repository, base: Option<&Tree<'_>>, tree: &Tree<'_>, path: &[u8]) -> Result<(), Refused> {
    if base.is_some_and(|base| base.id() == tree.id()) {
        return Ok(());
    }
    if path.iter().filter(|byte| **byte == b'/').count() > MAX_DEPTH {
        let path = RepoPath::new(path);
        return Err(Refused::TooDeep { path });
    }
    for found in tree {
        let (name, mode, oid) = (found.name_bytes(), found.filemode_raw(), found.id());
        let before = base.and_then(|base| entry(base, name));
        if before == Some(Entry { mode, oid }) {
            continue;
        }
        let inner = [path, name].concat();
        let before = before.filter(|before| before.mode == TREE && mode == TREE);
        match reserved(name, mode) {
            Some(Reserved::DotGit) => {
                let path = RepoPath::new(inner);
                return Err(Refused::ReservedName { path });
            }
            Some(Reserved::NoFile(file)) if before.is_none() => {
                let path = RepoPath::new(inner);
                return Err(Refused::NoFile { path, file });
            }
            Some(Reserved::NoFile(_)) | None if mode == TREE => {
                let before = before.map(|before| find(repository, before)).transpose()?;
                let below = find(repository, Entry { mode, oid })?;
                check(repository, before.as_ref(), &below, &[&inner[..], b"/"].concat())?;
            }
            Some(Reserved::NoFile(_)) | None => {}
        }
    }
    Ok(())
}

fn find(repository: &Repository, directory: Entry) -> GitResult<Tree<'_>> {
    find_tree(repository, directory.oid)
}
