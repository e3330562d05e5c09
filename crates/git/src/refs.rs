//! The names of the references in a hub, in one place.
//!
//! `refs/heads/` holds our own branches only; what the user's repository has is mirrored under
//! `refs/remotes/workspace/` and `refs/workspace/tags/`, so no branch of the user's can move one of ours.

use domain::{CommitId, RunId, TaskKey};

/// Where the branches of the user's repository are mirrored.
pub(crate) const WORKSPACE_BRANCHES: &str = "refs/remotes/workspace/";
/// Where the tags of the user's repository are mirrored.
pub(crate) const WORKSPACE_TAGS: &str = "refs/workspace/tags/";
/// Where HEAD of the user's repository is mirrored.
pub(crate) const WORKSPACE_HEAD: &str = "refs/workspace/HEAD";

/// Every reference of every run but the integration branches, as a glob.
pub(crate) const ALL: &str = "refs/orchestrator/*";

/// The short name of a run's branch: `orchestrator/<short run id>`, in the hub and in the user's repository.
pub fn branch(run: &RunId) -> String {
    format!("orchestrator/{}", run.short())
}

/// The integration branch of a run: `refs/heads/orchestrator/<short run id>`.
pub fn integration(run: &RunId) -> String {
    format!("refs/heads/{}", branch(run))
}

/// The commit a run started from.
pub fn base(run: &RunId) -> String {
    format!("refs/orchestrator/{run}/base")
}

/// The snapshots of one attempt, chained. Each machine has a chain of its own; a shared hub has the newest commit under
/// this name, a hyphen and its id.
pub fn attempt(run: &RunId, task: &TaskKey, attempt: i64) -> String {
    format!("refs/orchestrator/{run}/attempt/{task}/{attempt}")
}

/// A commit that was submitted to the merge queue. It is pinned before any state changes.
pub fn submission(run: &RunId, task: &TaskKey, commit: &CommitId) -> String {
    format!("refs/orchestrator/{run}/submission/{task}/{commit}")
}

/// A merge commit that the gate refused, or whose landing was held up.
pub fn candidate(run: &RunId, task: &TaskKey, commit: &CommitId) -> String {
    format!("refs/orchestrator/{run}/candidate/{task}/{commit}")
}

/// The snapshots and submissions of a task, as globs.
pub fn all_of_task(run: &RunId, task: &TaskKey) -> [String; 2] {
    ["attempt", "submission"].map(|kind| format!("refs/orchestrator/{run}/{kind}/{task}/*"))
}

/// Every reference of a run but its integration branch, as a glob.
pub fn all_of(run: &RunId) -> String {
    format!("refs/orchestrator/{run}/*")
}
