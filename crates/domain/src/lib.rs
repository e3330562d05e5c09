//! Words and rules of the product: what a run, a task, a plan and a merge are, and how each event changes them.
//!
//! Nothing here does input or output, reads a clock or is asynchronous. [`transition::transition`] is the one
//! place where a state changes; everything else in the product carries its decisions out.

pub mod ids;
pub mod money;
mod names;

pub mod plan;
pub mod plan_check;
pub mod profile;

pub mod feedback;
pub mod gate;
pub mod integrity;
pub mod merge;
pub mod recorded;
pub mod run;
pub mod task;

pub mod delivery;
pub mod effect;
pub mod event;
pub mod input;
pub mod transition;

pub mod limits;
pub mod lock_files;
pub mod schedule;

pub use ids::{CommitId, Epoch, Fence, MergeId, ProcessId, RunId, TaskId, TaskKey};
pub use money::NanoDollars;
