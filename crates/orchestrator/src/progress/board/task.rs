//! A task on the board.

use crate::progress::{news::model_wait, words::clean};
use api::{Action, StatusInputs, TaskMerge, TaskStatus};
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
    /// How often its work was sent back.
    pub(crate) sent_back: i32,
    /// What its worker is doing.
    pub(crate) action: Action,
    /// What it needs and is temporarily unavailable.
    pub(crate) blocked_on: Option<String>,
    /// Its newest merge, once that has moved.
    pub(crate) merge: Option<TaskMerge>,
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
            sent_back: 0,
            action: Action::default(),
            blocked_on: None,
            merge: None,
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
                self.blocked_on = None;
                // A recovered attempt continues at its turn.
                if self.attempts != *attempt {
                    self.action = Action::default();
                }
                self.attempts = *attempt;
                self.started_at.get_or_insert(at);
            }
            Event::TurnAnswered { turn, tools, cost, .. } => {
                self.turns += 1;
                self.cost += cost.unwrap_or(NanoDollars::ZERO);
                let tool = tools.first().map_or_else(|| "answers".to_owned(), |tool| clean(tool));
                self.act(*turn, tool, String::new());
            }
            Event::ToolStarted { turn, tool, summary } => self.act(*turn, clean(tool), clean(summary)),
            Event::ModelRetried { why, wait_ms } => self.blocked_on = Some(model_wait(why, *wait_ms)),
            Event::TaskBlocked { on } => self.blocked_on = on.as_deref().map(clean),
            Event::AttemptEnded { .. } => {}
            Event::MergeQueued { .. } => {
                self.state = TaskState::Merging;
                self.blocked_on = None;
                self.merge = None;
            }
            Event::MergeProgressed {
                merge,
                state,
                conflicts,
            } => self.move_merge(*merge, *state, conflicts),
            Event::MergeWaiting { merge, conflicts, .. } => self.move_merge(*merge, MergeState::Waiting, conflicts),
            Event::MergeDecided { merge, .. } => self.move_merge(*merge, MergeState::Queued, &[]),
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
                self.sent_back += 1;
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

    /// What it is doing, waiting for or came to, as every interface has it. The tasks it waits for are the board's to name.
    pub(crate) fn status(&self, waits_for: Vec<String>) -> TaskStatus {
        TaskStatus::from(StatusInputs {
            reason: self.reason.clone().map(Into::into),
            attempts: i32::try_from(self.attempts).unwrap_or(i32::MAX),
            failures: self.sent_back,
            waits_for,
            blocked_on: self.blocked_on.clone(),
            action: Some(self.action.clone()),
            merge: self.merge.clone(),
            landed_commit: self.commit.as_ref().map(|commit| commit.0.clone()),
            ..StatusInputs::new(self.state)
        })
    }

    /// The merge that waits for a person.
    pub(crate) fn waiting_merge(&self) -> Option<i64> {
        let merge = self.merge.as_ref()?;
        (self.state == TaskState::Merging && merge.state == MergeState::Waiting).then_some(merge.id)
    }

    fn act(&mut self, turn: u32, tool: String, summary: String) {
        self.blocked_on = None;
        self.action = Action {
            turn: i32::try_from(turn).unwrap_or(i32::MAX),
            tool: Some(tool),
            summary: (!summary.is_empty()).then_some(summary),
        };
    }

    /// Conflicting paths stay known while the merge continues.
    fn move_merge(&mut self, merge: MergeId, state: MergeState, conflicts: &[String]) {
        let known = self.merge.take().map(|merge| merge.conflicts).unwrap_or_default();
        self.merge = Some(TaskMerge {
            id: merge.0,
            state,
            position: None,
            conflicts: match conflicts.is_empty() {
                true => known,
                false => conflicts.iter().map(|path| clean(path)).collect(),
            },
        });
    }

    fn end(&mut self, at: OffsetDateTime, state: TaskState, reason: Option<Reason>) {
        self.state = state;
        self.reason = reason;
        self.ended_at = Some(at);
    }
}
