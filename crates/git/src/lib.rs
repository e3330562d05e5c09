//! Git for the orchestrator: hubs, worktrees, snapshots, merges, landing and delivery.
//!
//! The crate is synchronous and the only user of `git2`. Its API uses [`domain::CommitId`] and the small types of
//! [`ids`], and no type of git2.
//!
//! Each directory uses only those before it: `tree` and `remote` know objects and addresses; `hub` is our own
//! repository; `merge`, `snapshot` and `checks` work in it; `user_repository` reads from and delivers to the user.
//!
//! Invariants:
//! - Nothing that a worker can write is executed. Trees are read with plain file calls and written through git2 from
//!   the hub. Git processes that work in the hub (`merge-tree`, `prune --dry-run`, `rev-list`, `check-attr`) or with
//!   remotes (`ls-remote`, `fetch`, `push`) see no configuration of the user's. Those that work in the user's
//!   repository run no hook, filter or file system monitor.
//! - A merge never happens in a working tree: objects go in; a tree or a [`Conflict`] comes out.
//! - A reference never names an object that a power cut could lose: see [`Durable`].
//! - The user's repository is read, and receives one branch. Its index, HEAD, hooks and configuration stay as they
//!   are, except for [`fast_forward()`] of a clean checkout.

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
mod said;
mod snapshot;
mod tree;
mod user_repository;

pub use checks::{Refused, UserAttributes, UserCommands};
pub use error::GitError;
pub use files::remove_directory;
pub use hub::{
    ChangedFile, Durable, FileEntry, Hub, LandError, Landed, LandingLock, LandingState, LogEntry, Pruned,
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
