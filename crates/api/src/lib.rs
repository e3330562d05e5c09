//! The types of the HTTP API, and a typed client.
//!
//! The OpenAPI document is generated from these types. Times are RFC 3339. Money is an integer in nano-dollars, with
//! dollars as a float beside it for display. States have the names of the [`domain`].

mod activity;
mod body;
mod clean;
mod client;
mod delivery;
mod duration;
mod event;
mod event_text;
mod health;
mod integrity;
mod merge;
mod money;
mod new_run;
mod problem;
mod run;
mod schema;
mod status;
mod task;
mod transcript;

pub use activity::{Action, TaskMerge};
pub use body::{Invalid, nearest, parse};
pub use clean::{CLEAN_DAYS, CleanRequest, CleanResult, CleanedCache, CleanedRun, DiskArea};
pub use client::{Client, ClientError, EventStream};
pub use delivery::{Delivery, DeliveryStep};
pub use duration::duration_text;
pub use event::{END_OF_EVENTS, Event};
pub use event_text::{check_source, check_text, count, event_text};
pub use health::{Health, Readiness, SandboxProperty};
pub use integrity::IntegrityFlag;
pub use merge::{
    ConflictFile, ConflictHunk, ConflictVersion, DecidedMerge, Merge, MergeDetail, MergeList, MergeSummaries,
    MergeSummary, PathDecision, RejectRequest, Resolution, ResolveRequest, ReturnRequest,
};
pub use money::Amount;
pub use new_run::{COST_DOLLARS, DeliverRequest, ModelChoice, NewRun, OrchConfig, RunLimits};
pub use problem::Problem;
pub use run::{Accepted, Check, Cost, CostLine, Reason, Run, RunPage, RunSummary, TaskCounts, Tokens};
pub use status::{SentBack, StatusInputs, TaskStatus, Tone};
pub use task::{ReturnedAttempt, Task, TaskList};
pub use transcript::{Attempt, TaskDetail, ToolCall, Turn};
