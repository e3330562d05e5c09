//! The worktree an attempt starts from.

use super::{Broken, broken, carried::carry};
use crate::settings::MergeSettings;
use domain::CommitId;
use git::{Hub, TreeId, WorktreeStart};
use std::sync::Arc;
use store::resolution::DecidedHunk;

/// What a worktree is made from.
pub(super) struct Source {
    pub(super) hub: Arc<Hub>,
    pub(super) base: CommitId,
    pub(super) snapshot: Option<CommitId>,
    pub(super) previous: Option<CommitId>,
    /// The layers' decisions about the previous work's conflict.
    pub(super) decided: Vec<DecidedHunk>,
    pub(super) settings: MergeSettings,
}

impl Source {
    /// Makes the worktree and returns the paths with conflict markers. The work of an earlier attempt is carried over onto
    /// the base, so that the worker continues from it.
    pub(super) fn make_worktree(&self, at: &std::path::Path) -> Result<Vec<String>, Broken> {
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
            // Removed because disk space may be what was missing.
            self.hub.remove_worktree(at).ok();
            return Err(broken(error));
        }
        Ok(carried.map(|carried| carried.open).unwrap_or_default())
    }
}
