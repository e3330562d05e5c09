//! The worktree an attempt starts from.

use super::{Broken, broken, carried::carry};
use crate::settings::MergeSettings;
use domain::CommitId;
use git::{Hub, TreeId, WorktreeStart};
use std::sync::Arc;
use store::resolution::DecidedHunk;

/// From what a worktree is made.
pub(super) struct Place {
    pub(super) hub: Arc<Hub>,
    pub(super) base: CommitId,
    pub(super) snapshot: Option<CommitId>,
    pub(super) previous: Option<CommitId>,
    /// What the layers decided of the conflict that the previous work met.
    pub(super) decided: Vec<DecidedHunk>,
    pub(super) settings: MergeSettings,
}

impl Place {
    /// Makes the worktree; returns the paths that hold conflict markers. What an earlier try at this task left is
    /// carried over onto the base: it goes on from its own work.
    pub(super) fn make(&self, at: &std::path::Path) -> Result<Vec<String>, Broken> {
        let carried = self
            .previous
            .as_ref()
            .map(|previous| carry(&self.hub, &self.base, previous, &self.decided, &self.settings));
        let carried = carried.transpose().map_err(broken)?;
        let tree: Option<TreeId> = match (&self.snapshot, &carried) {
            (Some(snapshot), _) => Some(self.hub.tree_of(snapshot).map_err(broken)?),
            (None, Some(carried)) => Some(carried.tree.clone()),
            (None, None) => None,
        };
        let start = match tree {
            Some(tree) => WorktreeStart::Carrying {
                head: self.base.clone(),
                tree,
            },
            None => WorktreeStart::At(self.base.clone()),
        };
        if let Err(error) = self.hub.add_worktree(at, &start) {
            // What is half made is in nobody's way; without it the disk is, should that be what was missing.
            self.hub.remove_worktree(at).ok();
            return Err(broken(error));
        }
        Ok(carried.map(|carried| carried.open).unwrap_or_default())
    }
}
