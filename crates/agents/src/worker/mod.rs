//! A worker: one attempt at one task, behind a [`WorkerBackend`].
//!
//! [`crate::model_worker`] is the product's own backend. Another one, such as an external coding agent, implements the
//! same trait; the engine journals, meters and resumes both alike.

mod backend;
mod order;

pub use backend::{BackendId, Session, WorkEnd, WorkerBackend};
pub use order::{Feedback, HandOff, JournaledCall, JournaledTurn, WorkOrder};
