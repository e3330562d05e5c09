//! The merge of two commits: the fast engine where it is trivially safe, git's own everywhere else.

mod attributes;
mod audit;
mod conflict;
mod content;
#[cfg(test)]
mod differential;
pub(crate) mod fast;
mod hunks;
mod ort;
mod union;
mod xdiff;

pub use audit::{AuditReport, Suspect, Times, Verdict, merge_audit};
pub use conflict::{Conflict, ConflictFile, ConflictKind, ConflictMessage, Resolution, ResolveError, Version};
pub use fast::GaveUp;
pub use hunks::{ConflictedText, Hunk, HunkError};
pub use ort::{GitVersion, MINIMUM_GIT, git_cli_version};

use self::ort::{Answer, ConflictStyle, Conflicts};
use crate::{
    error::{Doing, GitResult},
    hub::{Hub, find_tree, history::merge_bases},
    ids::{Stamp, TreeId, commit_oid},
    tree::{self, Edit},
};
use domain::CommitId;
use git2::Repository;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

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

/// What the fast engine says: an outcome, or why it leaves the merge to git.
pub(crate) fn fast_outcome(
    objects: &Repository,
    tip: &CommitId,
    theirs: &CommitId,
) -> GitResult<Result<MergeOutcome, GaveUp>> {
    let (ours_oid, theirs_oid) = (commit_oid(tip)?, commit_oid(theirs)?);
    match merge_bases(objects, ours_oid, theirs_oid)?[..] {
        [] => Ok(Ok(MergeOutcome::NoMergeBase)),
        [base] if base == theirs_oid => Ok(Ok(MergeOutcome::AlreadyMerged)),
        [base] => {
            let tree = fast::merge(objects, base, ours_oid, theirs_oid)?;
            Ok(tree.map(|tree| {
                MergeOutcome::Clean(CleanMerge {
                    tree: tree.into(),
                    engine: MergeEngine::Fast,
                })
            }))
        }
        _ => Ok(Err(GaveUp::SeveralBases)),
    }
}

/// What git says of two commits that have a common history.
pub(crate) fn ort_outcome(objects: &Repository, tip: &CommitId, theirs: &CommitId) -> GitResult<MergeOutcome> {
    let answer = ort::merge_tree(objects.path(), tip, theirs, ConflictStyle::Plain)?;
    let plain = match answer {
        Answer::Clean(tree) => {
            refresh(objects)?;
            return Ok(MergeOutcome::Clean(CleanMerge {
                tree,
                engine: MergeEngine::Ort,
            }));
        }
        Answer::Conflicted(plain) => plain,
    };
    // Those who decide conflicts want to see the base.
    let shown = ort::merge_tree(objects.path(), tip, theirs, ConflictStyle::WithBase)?;
    refresh(objects)?;
    let tree_with_markers = match shown {
        Answer::Conflicted(shown) => decided_as_in(objects, &plain, &shown)?,
        Answer::Clean(_) => plain.tree.clone(),
    };
    Conflict::from_ort(objects, tip, theirs, plain, tree_with_markers).map(MergeOutcome::Conflicted)
}

/// The tree that shows bases, but with the files of `plain` where only showing the base made a conflict.
fn decided_as_in(objects: &Repository, plain: &Conflicts, shown: &Conflicts) -> GitResult<TreeId> {
    let conflicting: BTreeSet<_> = plain.stages.iter().map(|stage| &stage.path).collect();
    let only_shown: BTreeSet<_> = shown
        .stages
        .iter()
        .map(|stage| &stage.path)
        .filter(|path| !conflicting.contains(path))
        .collect();
    if only_shown.is_empty() {
        return Ok(shown.tree.clone());
    }
    let plain_tree = find_tree(objects, plain.tree.oid()?)?;
    let mut edits = BTreeMap::new();
    for path in only_shown {
        let entry = plain_tree.get_path(Path::new(OsStr::from_bytes(path.as_bytes())));
        let edit = match entry {
            Ok(entry) => Edit::Put {
                oid: entry.id(),
                mode: entry.filemode_raw() as u32,
            },
            Err(_) => Edit::Remove,
        };
        edits.insert(path.clone(), edit);
    }
    Ok(tree::apply(objects, shown.tree.oid()?, &edits)?.into())
}

/// The process wrote objects behind libgit2's back.
fn refresh(objects: &Repository) -> GitResult<()> {
    objects
        .odb()
        .and_then(|odb| odb.refresh())
        .doing(|| "can't re-read the hub's objects".to_owned())
}

impl Hub {
    /// Merges `theirs` into `tip` without touching any reference or worktree.
    pub fn merge(&self, tip: &CommitId, theirs: &CommitId) -> GitResult<MergeOutcome> {
        self.with(|handle| match fast_outcome(&handle.objects, tip, theirs)? {
            Ok(outcome) => Ok(outcome),
            Err(_) => ort_outcome(&handle.objects, tip, theirs),
        })
    }

    /// Makes the merge commit: parents `tip` and `theirs`, in this order. The same arguments give the same commit.
    pub fn commit_merge(&self, tree: &TreeId, tip: &CommitId, theirs: &CommitId, stamp: &Stamp) -> GitResult<CommitId> {
        self.commit_tree(tree, &[tip.clone(), theirs.clone()], stamp)
    }
}
