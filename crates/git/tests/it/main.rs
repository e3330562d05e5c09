//! The crate on real repositories, made with the git program.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests: clippy knows only the functions marked as such"
)]

#[path = "../generate/rough.rs"]
mod rough;

mod admission;
mod audit;
mod delivery;
mod differential;
mod executed;
mod filters;
mod formats;
mod hostile;
mod hostile_trees;
mod hub;
mod hunks;
mod landing;
mod landing_order;
mod merging;
mod owners;
mod pushing;
mod reserved;
mod retention;
mod shared;
mod snapshots;
mod support;
mod user_locks;
mod workspaces;
mod worktrees;
