//! The durable engine: every change of a run goes through `step`, every effect through the dispatcher.
//!
//! It is the one writer of state. It knows the rules ([`domain`]), the rows ([`store`]) and the hands
//! ([`agents`], [`git`], [`sandbox`], [`llm`]), and nothing of HTTP or of the command line.

pub mod delivery;
pub mod request;
pub mod settings;

mod answer;
mod engine;
mod submit;

mod hubs;
mod patience;
mod step;
mod tip;
mod wake;

mod dispatcher;
mod effects;
mod merge;
mod ports;
mod working;

mod clear;
mod heartbeat;
mod housekeeping;
mod retention;

mod detect;
mod disk;
mod layout;
mod trace;
mod trouble;
mod usage;
mod user_git;

pub use answer::{ANSWER_BYTES, AnswerError, OpenConflict, OpenFile, OpenHunk, OpenVersion};
pub use delivery::DeliverySettings;
pub use disk::DiskRoom;
pub use engine::{Engine, Error};
pub use llm::ModelRef;
pub use request::{CancelError, DeliverError, LimitsAsked, NewRun, Readiness, SubmitError, Submitted};
pub use retention::{CleanMode, Cleaned, CleanedCache, CleanedRun, RetentionError};
pub use settings::{
    Duties, GeneratedRule, Generation, GivesUp, Identity, MergeSettings, Settings, SharedHubs, WorkspaceSettings,
};
pub use store::view;
pub use usage::{Area, DiskUse, bytes_in_words};
