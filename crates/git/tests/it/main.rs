//! The crate on real repositories, made with the git program.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests: clippy knows only the functions marked as such"
)]

#[path = "../generate/mod.rs"]
mod generate;

mod delivery;
mod differential;
mod hostile;
mod hub;
mod hunks;
mod landing;
mod merging;
mod snapshots;
mod support;
mod workspaces;
mod worktrees;
