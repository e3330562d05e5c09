//! Everything the product does with git: the hub, worktrees, snapshots, merges, landing and delivery.
//!
//! Synchronous, and the only user of `git2`. At the boundary stand [`domain::CommitId`] and the small types of
//! [`ids`]; no type of git2 is needed to use this crate.
//!
//! Invariants:
//! - Nothing that a worker can write is ever executed: trees are read with plain file calls and written through
//!   git2 from the hub; the git processes that are started (`merge-tree`; `prune --dry-run` and `rev-list`; `ls-remote`, `fetch` and
//!   `push` for remotes that the user names) see objects of the hub, no configuration of the user's, and no hook.
//! - A merge never happens in a working tree: objects in, a tree or a [`Conflict`] out.
//! - A reference made here never names an object that could still be lost with the power: see [`Durable`].
//! - The user's repository is read, and receives one branch; its index, HEAD, hooks and configuration are left
//!   alone, except for [`fast_forward()`] on a clean checkout.

mod admission;
mod attributes;
mod audit;
mod audit_report;
mod compare;
mod conflict;
mod content;
mod create;
mod deliver;
#[cfg(test)]
mod differential;
mod durable;
mod error;
mod executed;
mod fast;
mod fast_forward;
mod fast_plan;
mod filters;
mod history;
mod hub;
mod hunks;
pub mod ids;
mod ignores;
mod initialise;
mod land;
mod listing;
mod lock;
mod merge;
mod ort;
mod own_lock;
mod private;
mod process;
mod push;
pub mod refs;
mod refused;
mod remote;
mod reserved;
mod retention;
mod snapshot;
mod stat_cache;
mod transport;
mod tree_edit;
mod union;
mod upstream;
mod walk;
mod walk_error;
mod withheld;
mod workspace;
mod worktree;
mod xdiff;

pub use admission::{Admission, Admitted, NotAdmitted, Places, Unversioned};
pub use audit::merge_audit;
pub use audit_report::{AuditReport, Suspect, Times, Verdict};
pub use compare::{ChangedFile, FileEntry, Replacement};
pub use conflict::{Conflict, ConflictFile, ConflictKind, ConflictMessage, Resolution, ResolveError, Version};
pub use deliver::{DeliverError, Delivered, deliver_branch};
pub use durable::Durable;
pub use error::GitError;
pub use executed::UserCommands;
pub use fast::GaveUp;
pub use fast_forward::{FastForward, SkipReason, fast_forward};
pub use filters::UserAttributes;
pub use history::{DiffStat, DiffText, LogEntry};
pub use hub::Hub;
pub use hunks::{ConflictedText, Hunk, HunkError};
pub use ids::{BlobId, Identity, RepoPath, Stamp, TreeId};
pub use initialise::{
    InitialiseError, Initialised, initialise, missing_directories, settle_initialised, undo_initialise,
};
pub use land::{LandError, Landed, LandingState};
pub use lock::{LandingLock, StaleLock};
pub use merge::{CleanMerge, MergeEngine, MergeOutcome};
pub use ort::{GitVersion, MINIMUM_GIT, git_cli_version};
pub use push::{PushError, PushRejection, Pushed, check_branch};
pub use refused::Refused;
pub use remote::{PushAccess, Remote};
pub use retention::Pruned;
pub use snapshot::{Snapshot, SnapshotError, SnapshotRequest};
pub use walk_error::{TreeLimits, WalkError};
pub use workspace::{Found, WorkspaceError, inspect};
pub use worktree::{Worktree, WorktreeError, WorktreeStart, remove_directory};
