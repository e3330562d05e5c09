//! The crate on real repositories, made with the git program.

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
