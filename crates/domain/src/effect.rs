//! What is to be done next, outside the database. Each effect says why doing it twice is safe.

use crate::ids::{CommitId, TaskId};
use serde::{Deserialize, Serialize};

/// Something the dispatcher is to carry out. Claiming ready tasks needs no effect: the task row is the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Make or refresh the hub and pin the base. Twice: the hub is found, the base is already pinned.
    Prepare,
    /// Ask the director for a plan. Twice: nothing was saved, so another plan takes its place; the first call's
    /// cost stays in the ledger.
    Plan,
    /// Put finished work into the merge queue. Twice: the row is unique on run, task and commit.
    QueueMerge {
        /// Whose work.
        task: TaskId,
        /// The frozen commit.
        commit: CommitId,
    },
    /// Take a task's work out of the queue, unless its landing is intended. Twice: it is already out.
    DropMerge {
        /// Whose work.
        task: TaskId,
    },
    /// Hand the branch over. Twice: the branch already points there.
    Deliver,
}

impl Effect {
    /// The kinds that are performed where the run was taken in: in its workspace, and once for all its tasks. Rows of
    /// any other kind were written by another version, and are left to it.
    pub const AT_THE_SERVER: [&'static str; 3] = [Self::Prepare.kind(), Self::Plan.kind(), Self::Deliver.kind()];

    /// The stable name of this kind of effect: the queue's `task_name` in the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Plan => "plan",
            Self::QueueMerge { .. } => "queue_merge",
            Self::DropMerge { .. } => "drop_merge",
            Self::Deliver => "deliver",
        }
    }
}
