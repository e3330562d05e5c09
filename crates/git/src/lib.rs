//! Everything the product does with git: the hub, worktrees, snapshots, merges, landing and delivery.
//!
//! Synchronous, and the only user of `git2`. At the boundary stand [`domain::CommitId`] and the small types of
//! [`ids`]; no type of git2 is needed to use this crate.
//!
//! Each directory uses only those before it: `tree` and `remote` know objects and addresses alone; `hub` is the
//! repository of ours; `merge`, `snapshot` and `checks` work in it; `user_repository` is what is read from and
//! delivered to the user.
//!
//! Invariants:
//! - Nothing that a worker can write is ever executed: trees are read with plain file calls and written through
//!   git2 from the hub; the git processes that are started (`merge-tree`; `prune --dry-run` and `rev-list`; `ls-remote`, `fetch` and
//!   `push` for remotes that the user names) see objects of the hub, no configuration of the user's, and no hook.
//! - A merge never happens in a working tree: objects in, a tree or a [`Conflict`] out.
//! - A reference made here never names an object that could still be lost with the power: see [`Durable`].
//! - The user's repository is read, and receives one branch; its index, HEAD, hooks and configuration are left
//!   alone, except for [`fast_forward()`] on a clean checkout.

mod checks;
mod error;
mod files;
mod hub;
pub mod ids;
mod lock_file;
mod merge;
mod private;
mod process;
pub mod refs;
mod remote;
mod snapshot;
mod tree;
mod user_repository;

pub use checks::{Refused, UserAttributes, UserCommands};
pub use error::GitError;
pub use files::remove_directory;
pub use hub::{
    ChangedFile, DiffStat, Durable, FileEntry, Hub, LandError, Landed, LandingLock, LandingState, LogEntry, Pruned,
    PushRejection, Pushed, Replacement, StaleLock, Worktree, WorktreeError, WorktreeStart, check_branch,
};
pub use ids::{BlobId, Identity, RepoPath, Stamp, TreeId};
pub use lock_file::{HeldLock, LockHolder};
pub use merge::{
    AuditReport, CleanMerge, Conflict, ConflictFile, ConflictKind, ConflictMessage, ConflictedText, GaveUp, GitVersion,
    Hunk, HunkError, MINIMUM_GIT, MergeEngine, MergeOutcome, Resolution, ResolveError, Suspect, Times, Verdict,
    Version, git_cli_version, merge_audit,
};
pub use remote::{PushAccess, PushError, Remote};
pub use snapshot::{Snapshot, SnapshotError, SnapshotRequest, TreeLimits, WalkError};
pub use user_repository::{
    Admission, Admitted, DeliverError, Delivered, FastForward, Found, InitialiseError, Initialised, NotAdmitted,
    Places, SkipReason, Unversioned, WorkspaceError, deliver_branch, fast_forward, initialise, inspect,
    missing_directories, settle_initialised, undo_initialise,
};
