//! The durable engine: every change of a run goes through a step, every effect through the scheduler.
//!
//! It is the only writer of state. It uses the rules ([`domain`]), the rows ([`store`]) and the tools ([`agents`], [`git`],
//! [`sandbox`], [`llm`]), and knows nothing of HTTP or the command line.
//!
//! From the top down, each using only what is below it: requests of callers (`requests`), start and drain (`engine`),
//! claiming (`scheduler`), periodic work (`housekeeping`), the merge queue (`merge`), the effects (`effects`), disk space
//! (`disk`), recovery after crashes (`recovery`), and what all of them share (`context`).

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

pub use disk::{
    Area, CleanMode, Cleaned, CleanedCache, CleanedRun, DiskSpace, DiskUse, RetentionError, bytes_in_words,
};
pub use engine::{Engine, Error};
pub use llm::ModelRef;
pub use requests::{
    ANSWER_BYTES, AnswerError, CancelError, DeliverError, FieldProblem, LimitOverrides, NewRun, OpenConflict, OpenFile,
    OpenHunk, OpenVersion, Readiness, SubmitError, Submitted,
};
pub use settings::{
    DeliveryError, DeliverySettings, Duties, ForgeCommand, ForgeWords, GeneratedRule, Generation, Identity,
    MergeSettings, PushAccess, PushTo, Retention, Settings, SharedHubs, WorkspaceSettings,
};
pub use store::view;
