//! The contract between the engine and whatever does a task.

use super::WorkOrder;
use crate::{
    port::Journal,
    tools::{Finish, ToolBox},
};
use async_trait::async_trait;
use domain::{
    run::{Reason, ReasonCode},
    task::Outcome,
};
use llm::Ledger;
use sandbox::CancellationToken;
use std::{borrow::Cow, fmt};
use telemetry::TraceContext;

/// An agent that does attempts at tasks.
///
/// The engine makes the worktree, judges it afterwards and records everything; a backend only works. It must
///
/// - record each turn, call and result in the [journal](Session::journal), and obey its verdicts;
/// - reserve each paid call in the [ledger](Session::ledger) before it is made, and settle it afterwards;
/// - touch nothing but the worktree, through the [tools](Session::toolbox) or commands in their sandbox;
/// - stop soon after [cancel](Session::cancel) fires or [the deadline](WorkOrder::deadline) has passed;
/// - continue after [the journaled turns](WorkOrder::resume) of an attempt whose process stopped.
#[async_trait]
pub trait WorkerBackend: Send + Sync {
    /// Names the backend and the format of its payloads. Journaled with every turn.
    fn id(&self) -> BackendId;

    /// Whether this backend can resume an attempt whose payloads were written by `writer`.
    fn can_resume(&self, writer: &BackendId) -> bool {
        *writer == self.id()
    }

    /// Whether it calls models through [`llm::Models`]. The engine then starts an attempt when the model's provider has a
    /// free slot.
    fn uses_provider_slots(&self) -> bool {
        false
    }

    /// Does an attempt, or resumes one.
    async fn work(&self, order: &WorkOrder, session: Session<'_>) -> WorkEnd;
}

/// A kind of backend, and the version of its payload format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendId {
    /// A short stable name, such as `model_loop`.
    pub kind: Cow<'static, str>,
    /// Grows when payloads of the version before can't be read any more.
    pub version: u32,
}

impl fmt::Display for BackendId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (version {})", self.kind, self.version)
    }
}

/// What the engine provides for one attempt.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// The tools, confined to the attempt's worktree.
    pub toolbox: &'a ToolBox,
    /// Where paid calls are reserved and settled.
    pub ledger: &'a dyn Ledger,
    /// Where turns and calls are recorded.
    pub journal: &'a dyn Journal,
    /// Ends the attempt at once.
    pub cancel: &'a CancellationToken,
    /// The span of the attempt, the parent of the turns' spans.
    pub trace: Option<&'a TraceContext>,
}

/// How an attempt ended, as far as the backend knows. The worktree and the gate decide what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// The worker reports that the task is done, or partly done.
    Finished(Finish),
    /// The attempt failed; another one may succeed.
    Failed(Reason),
    /// Another attempt would fail as well.
    GaveUp(Reason),
    /// The attempt was stopped from outside: cancelled, drained or fenced off.
    Stopped,
}

impl From<Finish> for WorkEnd {
    fn from(finish: Finish) -> Self {
        let reason = |outcome: &str| {
            let text = format!("the worker says the task is {outcome}: {}", finish.summary);
            Reason::new(ReasonCode::Worker, text)
        };
        match finish.outcome {
            Outcome::Done | Outcome::Partial => Self::Finished(finish),
            Outcome::Blocked => Self::Failed(reason("blocked")),
            Outcome::Impossible => Self::GaveUp(reason("impossible")),
        }
    }
}
