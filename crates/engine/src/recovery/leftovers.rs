//! Removes what earlier processes left in the data directory.
//!
//! The starting process holds the data directory's lock, so no other process works in its worktrees. Hubs may be shared
//! with live processes, so lock files are removed only while nobody moves references, and worktrees only if they are this
//! process's own. Stale lock files are removed before anything starts, because they would block it; worktrees in the
//! background. The work in them is in the snapshots of their attempts. Safe to repeat, also after another crash.

use crate::context::{Layout, blocking};
use git::Hub;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio_util::task::TaskTracker;

/// What is to be removed, listed before anything new is made.
#[derive(Default)]
struct Left {
    /// Worktrees, with the hub that knows them.
    registered: Vec<(Hub, Vec<PathBuf>)>,
    /// Everything in the directory of worktrees.
    entries: Vec<PathBuf>,
}

/// Removes stale lock files now and worktrees in the background.
pub(crate) async fn clear(layout: &Layout, under_way: &TaskTracker) {
    let layout = layout.clone();
    let left = blocking(move || Left::find(&layout)).await;
    under_way.spawn(blocking(move || left.remove()));
}

impl Left {
    fn find(layout: &Layout) -> Self {
        let mut left = Self {
            entries: entries(&layout.worktrees()),
            ..Self::default()
        };
        // As the hubs have it.
        let own = layout.worktrees().canonicalize().unwrap_or_else(|_| layout.worktrees());
        for path in entries(&layout.hubs()).into_iter().filter(|path| path.is_dir()) {
            if let Err(error) = Hub::close_to_others(&path) {
                tracing::warn!(%error, "Could not close a hub to other accounts");
            }
            let Ok(hub) = Hub::open(&path) else {
                // Incomplete: the run that needs it makes it again.
                continue;
            };
            match hub.remove_dead_locks() {
                Ok(removed) if removed.is_empty() => {}
                Ok(removed) => tracing::info!(?removed, "Removed stale lock files"),
                Err(error) => tracing::warn!(%error, "Could not remove stale lock files"),
            }
            if let Err(error) = hub.forget_missing_worktrees(&layout.worktrees()) {
                tracing::warn!(%error, "Could not forget missing worktrees");
            }
            match hub.worktrees() {
                Ok(mut worktrees) => {
                    worktrees.retain(|worktree| worktree.parent() == Some(&own));
                    left.registered.push((hub, worktrees));
                }
                Err(error) => tracing::warn!(%error, "worktrees of a process that died are left"),
            }
        }
        left
    }

    fn remove(self) {
        for (hub, worktrees) in &self.registered {
            for worktree in worktrees {
                if let Err(error) = hub.remove_worktree(worktree) {
                    tracing::warn!(%error, "a worktree of a process that died is left");
                }
            }
        }
        // What no hub knows of: outputs beside a checkout, worktrees of a hub that was taken away.
        for path in self.entries {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            match removed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, path = %path.display(), "what a process left that died stays"),
            }
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
