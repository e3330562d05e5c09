//! The durable engine: every change of a run goes through a step, every effect through the scheduler.
//!
//! It is the one writer of state. It knows the rules ([`domain`]), the rows ([`store`]) and the hands
//! ([`agents`], [`git`], [`sandbox`], [`llm`]), and nothing of HTTP or of the command line.
//!
//! From the top down, each knowing only what is below it: what a caller asks (`requests`), the engine's parts and their
//! start (`engine`), who starts what (`scheduler`), what is done beside the work (`housekeeping`), the merge queue
//! (`merge`), the effects (`effects`), what the disk holds (`disk`), bringing back what dead processes held (`recovery`),
//! and what all of them are given (`context`).

mod requests;

mod engine;

mod housekeeping;
mod scheduler;

mod effects;
mod merge;

mod disk;
mod recovery;

mod context;
mod settings;
mod trace;

pub use disk::{Area, CleanMode, Cleaned, CleanedCache, CleanedRun, DiskRoom, DiskUse, RetentionError, bytes_in_words};
pub use engine::{Engine, Error};
pub use llm::ModelRef;
pub use requests::{
    ANSWER_BYTES, AnswerError, CancelError, DeliverError, LimitsAsked, NewRun, OpenConflict, OpenFile, OpenHunk,
    OpenVersion, Readiness, SubmitError, Submitted,
};
pub use settings::{
    DeliveryError, DeliverySettings, Duties, ForgeCommand, ForgeWords, GeneratedRule, Generation, GivesUp, Identity,
    MergeSettings, PushAccess, PushTo, Settings, SharedHubs, WorkspaceSettings,
};
pub use store::view;
