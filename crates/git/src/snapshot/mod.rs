//! The work in a worktree as a commit of the hub.

mod ignores;
pub(crate) mod limits;
pub(crate) mod stat_cache;
pub(crate) mod walk;

pub use limits::{TreeLimits, WalkError};

use self::{stat_cache::StatCache, walk::write_tree};
use crate::{
    error::{GitError, GitResult},
    hub::{Hub, find_tree, reference::compare_and_swap, tree_of, worktree::canonical_place},
    ids::{Stamp, TreeId, commit_oid},
};
use domain::CommitId;
use std::path::Path;

/// What to record, and under which name.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotRequest<'a> {
    /// The worktree, made by [`Hub::add_worktree`].
    pub worktree: &'a Path,
    /// The commit the attempt started from: the parent of the first snapshot.
    pub base: &'a CommitId,
    /// The reference that chains the snapshots of the attempt ([`crate::refs::attempt`]).
    pub reference: &'a str,
    /// The message and signature of the commit.
    pub stamp: &'a Stamp,
    /// What it may add.
    pub limits: &'a TreeLimits,
}

/// A recorded worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The newest commit of the chain.
    pub commit: CommitId,
    /// The files.
    pub tree: TreeId,
}

/// Why a worktree was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The worktree holds something that can't be recorded: the worker can fix it.
    #[error(transparent)]
    Refused(WalkError),
    /// Anything else; [`GitError::Moved`]: another process recorded the same attempt.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl From<WalkError> for SnapshotError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Git(error) => Self::Git(error),
            refused => Self::Refused(refused),
        }
    }
}

impl Hub {
    /// Records the worktree in the chain of its attempt and makes that durable. Where nothing changed since the last
    /// snapshot, that one is returned. [`GitError::Moved`] where another recorded one meanwhile: again goes on from that.
    ///
    /// Files are taken as bytes: no filter, no conversion of line ends. New files that `.gitignore` names are left
    /// out; what the base holds is kept even there.
    pub fn snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot, SnapshotError> {
        let previous = self.tip_here(request.reference)?;
        let parent = previous.as_ref().unwrap_or(request.base);
        let tree = self.worktree_tree(request.worktree, parent, request.limits)?;
        let commit = match previous.is_some() && self.tree_of(parent)? == tree {
            true => parent.clone(),
            false => {
                let commit = self.commit_tree(&tree, std::slice::from_ref(parent), request.stamp)?;
                self.record(request.reference, previous.as_ref(), &commit)?;
                commit
            }
        };
        Ok(Snapshot { commit, tree })
    }

    /// The chain is this machine's own. Others find the newest commit by a name that holds it.
    fn record(&self, chain: &str, previous: Option<&CommitId>, commit: &CommitId) -> GitResult<()> {
        let durable = self.make_durable(commit)?;
        if let Some(upstream) = &self.upstream {
            self.publish_snapshot(upstream, chain, previous, commit)?;
        }
        let _moving = self.moving()?;
        self.with(|handle| compare_and_swap(&handle.refs, chain, previous, durable.commit()))
    }

    /// Writes the tree of a worktree, by its difference to `base`, without a commit.
    pub fn worktree_tree(
        &self,
        worktree: &Path,
        base: &CommitId,
        limits: &TreeLimits,
    ) -> Result<TreeId, SnapshotError> {
        let worktree = canonical_place(worktree)?;
        let cache = StatCache::load(&self.registration(&worktree));
        let tree = self.with(|handle| {
            let base = tree_of(&handle.objects, commit_oid(base)?)?;
            write_tree(&handle.objects, &worktree, Some(base), cache, limits)
        })?;
        // Read back once: a tree that git could not read must not become a commit.
        self.with(|handle| find_tree(&handle.objects, tree).map(|_| ()))?;
        Ok(tree.into())
    }
}
