//! A task on the board.

use crate::progress::{
    news::{model_retried, tool_words},
    words::clean,
};
use domain::{
    NanoDollars,
    event::Event,
    gate::GateVerdict,
    ids::{CommitId, MergeId, TaskKey},
    merge::MergeState,
    run::Reason,
    task::TaskState,
};
use time::OffsetDateTime;

/// The state of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) key: TaskKey,
    pub(crate) profile: String,
    pub(crate) waits_for: Vec<TaskKey>,
    pub(crate) state: TaskState,
    pub(crate) attempts: u32,
    /// Turns of all attempts.
    pub(crate) turns: u32,
    /// The turn of this attempt.
    pub(crate) turn: u32,
    pub(crate) doing: String,
    pub(crate) merge: MergeState,
    /// The merge that waits for a person.
    pub(crate) asks: Option<MergeId>,
    pub(crate) conflicts: Vec<String>,
    pub(crate) gate: Option<Gate>,
    pub(crate) commit: Option<CommitId>,
    pub(crate) reason: Option<Reason>,
    pub(crate) cost: NanoDollars,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// The last result of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) verdict: GateVerdict,
    pub(crate) passed: Option<u64>,
    pub(crate) failed: Option<u64>,
}

impl Task {
    pub(super) fn new(key: TaskKey) -> Self {
        Self {
            key,
            profile: String::new(),
            waits_for: Vec::new(),
            state: TaskState::Planned,
            attempts: 0,
            turns: 0,
            turn: 0,
            doing: String::new(),
            merge: MergeState::Queued,
            asks: None,
            conflicts: Vec::new(),
            gate: None,
            commit: None,
            reason: None,
            cost: NanoDollars::ZERO,
            started_at: None,
            ended_at: None,
        }
    }

    pub(super) fn apply(&mut self, at: OffsetDateTime, event: &Event) {
        match event {
            Event::TaskReady => self.state = TaskState::Ready,
            Event::TaskClaimed { attempt, .. } => {
                self.state = TaskState::Active;
                // A recovered attempt continues at its turn.
                if self.attempts != *attempt {
                    self.turn = 0;
                }
                self.attempts = *attempt;
                self.doing = "starts".to_owned();
                self.started_at.get_or_insert(at);
            }
            Event::TurnAnswered { turn, tools, cost, .. } => {
                self.turn = *turn;
                self.turns += 1;
                self.cost += cost.unwrap_or(NanoDollars::ZERO);
                self.doing = tools.first().map_or_else(|| "answers".to_owned(), |tool| clean(tool));
            }
            Event::ToolStarted { turn, tool, summary } => {
                self.turn = *turn;
                self.doing = tool_words(tool, summary);
            }
            Event::ModelRetried { why, wait_ms } => {
                self.doing = model_retried(why, *wait_ms);
            }
            Event::TaskBlocked { on: Some(on) } => self.doing = format!("waits for {}", clean(on)),
            Event::TaskBlocked { on: None } => self.doing.clear(),
            Event::AttemptEnded { .. } => self.doing = "saving its work".to_owned(),
            Event::MergeQueued { .. } => {
                self.state = TaskState::Merging;
                self.merge = MergeState::Queued;
                self.conflicts.clear();
            }
            Event::MergeProgressed { state, conflicts, .. } => {
                self.merge = *state;
                if !conflicts.is_empty() {
                    self.conflicts = conflicts.iter().map(|path| clean(path)).collect();
                }
            }
            Event::MergeWaiting { merge, conflicts, .. } => {
                self.merge = MergeState::Waiting;
                self.asks = Some(*merge);
                self.conflicts = conflicts.iter().map(|path| clean(path)).collect();
            }
            Event::MergeDecided { .. } => {
                self.merge = MergeState::Queued;
                self.asks = None;
            }
            Event::GateFinished {
                verdict,
                passed,
                failed,
                ..
            } => {
                self.gate = Some(Gate {
                    verdict: *verdict,
                    passed: *passed,
                    failed: *failed,
                });
            }
            Event::ConflictDecided { .. }
            | Event::IntegrityFlagged { .. }
            | Event::LandingIntended { .. }
            | Event::MergeEnded { .. } => {}
            Event::TaskCompleted { commit } => {
                self.commit = commit.clone();
                self.end(at, TaskState::Complete, None);
            }
            Event::TaskReturned { reason } => {
                self.state = TaskState::Ready;
                self.reason = Some(reason.clone());
            }
            Event::TaskRecovered { .. } => self.state = TaskState::Ready,
            Event::TaskFailed { reason } => self.end(at, TaskState::Failed, Some(reason.clone())),
            Event::TaskCancelled { reason } => self.end(at, TaskState::Cancelled, Some(reason.clone())),
            // Events of the run.
            Event::RunSubmitted { .. }
            | Event::WorkspacePrepared { .. }
            | Event::PlanRequested { .. }
            | Event::PlanSaved { .. }
            | Event::RunDelivering
            | Event::DeliveryRequested { .. }
            | Event::PushIntended(_)
            | Event::DeliveryStepEnded(_)
            | Event::RunCompleted { .. }
            | Event::EffectFailed { .. }
            | Event::RunFailed { .. }
            | Event::RunExpired
            | Event::RunCancelled => {}
        }
    }

    fn end(&mut self, at: OffsetDateTime, state: TaskState, reason: Option<Reason>) {
        self.state = state;
        self.reason = reason;
        self.ended_at = Some(at);
    }
}
