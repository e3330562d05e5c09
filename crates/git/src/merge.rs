//! The merge of two commits: the fast engine where it is trivially safe, git's own everywhere else.

use crate::{
    conflict::Conflict,
    error::{Doing, GitError, GitResult},
    fast,
    history::{is_ancestor, merge_bases},
    hub::Hub,
    ids::{RepoPath, Stamp, TreeId, commit_oid},
    ort,
};
use domain::CommitId;
use serde::{Deserialize, Serialize};

/// What came of a merge. A tree without conflicts, or conflicts without a claim to be a result: never both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The tip holds the commit already.
    AlreadyMerged,
    /// Both sides are in the tree.
    Clean(CleanMerge),
    /// Both sides changed the same things.
    Conflicted(Conflict),
    /// The histories are unrelated: refused.
    NoMergeBase,
}

/// The tree of a merge without conflicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanMerge {
    /// The merged files.
    pub tree: TreeId,
    /// Who decided.
    pub engine: MergeEngine,
}

/// Which engine decided a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeEngine {
    /// Ours, on trees, for what is trivially safe.
    Fast,
    /// C git's ORT, in one process.
    Ort,
}

/// A task's work on top of a newer tip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebased {
    /// The files; where a path conflicts, with conflict markers.
    pub tree: TreeId,
    /// The paths that conflict. Empty: the work applied cleanly.
    pub conflicts: Vec<RepoPath>,
}

impl Hub {
    /// Merges `theirs` into `tip` without touching any reference or worktree.
    pub fn merge(&self, tip: &CommitId, theirs: &CommitId) -> GitResult<MergeOutcome> {
        let (ours_oid, theirs_oid) = (commit_oid(tip)?, commit_oid(theirs)?);
        let fast = self.with(|handle| {
            if is_ancestor(&handle.objects, theirs_oid, ours_oid)? {
                return Ok(Some(MergeOutcome::AlreadyMerged));
            }
            match merge_bases(&handle.objects, ours_oid, theirs_oid)?[..] {
                [] => Ok(Some(MergeOutcome::NoMergeBase)),
                [base] => {
                    let tree = fast::merge(&handle.objects, base, ours_oid, theirs_oid)?;
                    Ok(tree.map(|tree| {
                        MergeOutcome::Clean(CleanMerge {
                            tree: tree.into(),
                            engine: MergeEngine::Fast,
                        })
                    }))
                }
                _ => Ok(None),
            }
        })?;
        match fast {
            Some(outcome) => Ok(outcome),
            None => self.merge_with_ort(tip, theirs),
        }
    }

    /// Merges with C git alone: the reference that [`Hub::merge`] is measured against.
    pub fn merge_with_ort(&self, tip: &CommitId, theirs: &CommitId) -> GitResult<MergeOutcome> {
        let (ours_oid, theirs_oid) = (commit_oid(tip)?, commit_oid(theirs)?);
        if self.with(|handle| {
            Ok::<_, GitError>(merge_bases(&handle.objects, ours_oid, theirs_oid)?.is_empty())
        })? {
            return Ok(MergeOutcome::NoMergeBase);
        }
        let answer = ort::merge_tree(self.path(), tip, theirs)?;
        // The process wrote objects behind our back.
        self.with(|handle| {
            handle
                .objects
                .odb()
                .and_then(|odb| odb.refresh())
                .doing(|| "can't re-read the hub's objects".to_owned())
        })?;
        match answer {
            ort::Answer::Clean(tree) => Ok(MergeOutcome::Clean(CleanMerge {
                tree,
                engine: MergeEngine::Ort,
            })),
            ort::Answer::Conflicted(found) => {
                Ok(MergeOutcome::Conflicted(self.with(|handle| {
                    Conflict::from_ort(&handle.objects, tip, theirs, found)
                })?))
            }
        }
    }

    /// Makes the merge commit: parents `tip` and `theirs`, in this order. The same arguments give the same commit.
    pub fn commit_merge(
        &self,
        tree: &TreeId,
        tip: &CommitId,
        theirs: &CommitId,
        stamp: &Stamp,
    ) -> GitResult<CommitId> {
        self.commit_tree(tree, &[tip.clone(), theirs.clone()], stamp)
    }

    /// The work of `theirs` on top of `tip`, for a worker to go on from: conflicts stand in the files between
    /// markers. Not a result that may land.
    pub fn rebase_tree(&self, tip: &CommitId, theirs: &CommitId) -> GitResult<Rebased> {
        match self.merge(tip, theirs)? {
            MergeOutcome::AlreadyMerged => Ok(Rebased {
                tree: self.tree_of(tip)?,
                conflicts: Vec::new(),
            }),
            MergeOutcome::Clean(clean) => Ok(Rebased {
                tree: clean.tree,
                conflicts: Vec::new(),
            }),
            MergeOutcome::Conflicted(conflict) => Ok(Rebased {
                conflicts: conflict.paths(),
                tree: conflict.tree_with_markers,
            }),
            MergeOutcome::NoMergeBase => Err(GitError::Unrelated {
                tip: tip.clone(),
                theirs: theirs.clone(),
            }),
        }
    }
}
