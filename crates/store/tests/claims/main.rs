//! What is claimed, by whom, and how often: against real rows, with many claimers at once.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod attempts;
mod effects;
mod leases;
mod merges;
mod place;
mod resolutions;
mod states;
mod tasks;
