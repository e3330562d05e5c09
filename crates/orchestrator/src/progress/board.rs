//! The state of a run for display, changed by one event at a time.

mod task;

pub(super) use task::Task;

use super::words::clean;
use crate::invocation::Invocation;
use domain::{
    NanoDollars, RunId,
    event::Event,
    ids::{CommitId, TaskKey},
    run::{Check, Reason, RunState},
    task::TaskState,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) at: OffsetDateTime,
    pub(crate) task: Option<TaskKey>,
    pub(crate) event: Event,
}

/// The run as the API returns it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunDetails {
    pub(crate) id: RunId,
    pub(crate) objective: String,
    pub(crate) state: RunState,
    pub(crate) reason: Option<Reason>,
    pub(crate) cap: Option<NanoDollars>,
    pub(crate) spent: NanoDollars,
    /// Tasks that workers may hold at one time.
    pub(crate) slots: Option<u32>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// What the API returns of a task and events don't carry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskDetails {
    pub(crate) key: TaskKey,
    pub(crate) profile: String,
    pub(crate) waits_for: Vec<TaskKey>,
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Board {
    pub(crate) run: RunDetails,
    pub(crate) base: Option<(CommitId, String)>,
    pub(crate) check: Option<Check>,
    pub(crate) plan: Option<Plan>,
    pub(crate) doing: String,
    pub(crate) tasks: Vec<Task>,
    /// The last event that was applied; earlier ones are ignored.
    pub(crate) seq: i64,
    /// Tasks that are complete.
    pub(crate) landed: usize,
    /// How commands are written that a person is to type.
    pub(crate) invocation: Invocation,
}

/// The size of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) version: u32,
    pub(crate) tasks: u32,
    pub(crate) levels: u32,
}

impl Board {
    /// A run before its first event.
    pub(crate) fn new(run: RunDetails, invocation: Invocation) -> Self {
        Self {
            run,
            base: None,
            check: None,
            plan: None,
            doing: "preparing the workspace".to_owned(),
            tasks: Vec::new(),
            seq: 0,
            landed: 0,
            invocation,
        }
    }

    /// Updates the run. Events may be ahead of the answer, so a final state stays.
    pub(crate) fn look(&mut self, run: RunDetails) {
        let is_over = self.run.state.is_final() && !run.state.is_final();
        let state = if is_over { self.run.state } else { run.state };
        self.run = RunDetails { state, ..run };
    }

    /// Updates the tasks and puts them in the order of the plan.
    pub(crate) fn look_at_tasks(&mut self, tasks: Vec<TaskDetails>) {
        let mut known: BTreeMap<TaskKey, Task> = self.tasks.drain(..).map(|task| (task.key.clone(), task)).collect();
        self.tasks = tasks
            .into_iter()
            .map(|events| {
                let task = known.remove(&events.key).unwrap_or_else(|| Task::new(events.key));
                Task {
                    profile: clean(&events.profile),
                    waits_for: events.waits_for,
                    ..task
                }
            })
            .collect();
        self.tasks.extend(known.into_values());
    }

    /// Whether details of some tasks are still missing.
    pub(crate) fn wants_tasks(&self) -> bool {
        let planned = self.plan.map_or(0, |plan| plan.tasks as usize);
        self.tasks.len() < planned || self.tasks.iter().any(|task| task.profile.is_empty())
    }

    /// Applies the next event. One that was applied before changes nothing.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        if entry.seq <= self.seq {
            return;
        }
        self.seq = entry.seq;
        match &entry.task {
            Some(key) => {
                let key = key.clone();
                let index = self.tasks.iter().position(|task| task.key == key).unwrap_or_else(|| {
                    self.tasks.push(Task::new(key));
                    self.tasks.len() - 1
                });
                self.tasks[index].apply(entry.at, &entry.event);
            }
            None => self.apply_to_run(entry.at, &entry.event),
        }
        self.landed = self
            .tasks
            .iter()
            .filter(|task| task.state == TaskState::Complete)
            .count();
    }

    /// Tasks in this state.
    pub(crate) fn count(&self, state: TaskState) -> usize {
        self.tasks.iter().filter(|task| task.state == state).count()
    }

    /// The number of tasks, as far as it is known.
    pub(crate) fn total(&self) -> usize {
        self.tasks.len().max(self.plan.map_or(0, |plan| plan.tasks as usize))
    }

    fn apply_to_run(&mut self, at: OffsetDateTime, event: &Event) {
        match event {
            Event::RunSubmitted { .. } | Event::EffectFailed { .. } | Event::RunExpired => {}
            Event::WorkspacePrepared {
                base,
                base_branch,
                check,
            } => {
                self.base = Some((base.clone(), clean(base_branch)));
                self.check = Some(check.clone());
                self.doing = "the director plans".to_owned();
            }
            Event::PlanRequested { round, .. } => {
                self.doing = match round {
                    0 | 1 => "the director plans".to_owned(),
                    _ => format!("the director corrects its plan, round {round}"),
                };
            }
            Event::PlanSaved {
                version, tasks, levels, ..
            } => {
                self.plan = Some(Plan {
                    version: *version,
                    tasks: *tasks,
                    levels: *levels,
                });
                self.run.state = RunState::Running;
                self.doing.clear();
            }
            Event::ModelRetried { .. } => self.doing = clean(&api::event_text(event)),
            Event::RunDelivering => {
                self.run.state = RunState::Delivering;
                self.doing = "delivering the branch".to_owned();
            }
            Event::PushIntended(intent) => {
                self.doing = format!("pushing branch {} to {}", clean(&intent.branch), clean(&intent.address));
            }
            Event::DeliveryStepEnded(end) if end.result.is_bad() => {
                self.doing = format!("delivering; {}", clean(&end.said))
            }
            Event::DeliveryRequested { .. } | Event::DeliveryStepEnded(_) => {
                self.doing = "delivering the branch".to_owned()
            }
            Event::RunCompleted { .. } => self.end(at, RunState::Complete, None),
            Event::RunFailed { reason } => self.end(at, RunState::Failed, Some(reason.clone())),
            Event::RunCancelled => self.end(at, RunState::Cancelled, None),
            // Events of tasks.
            Event::TaskReady
            | Event::TaskClaimed { .. }
            | Event::TurnAnswered { .. }
            | Event::ToolStarted { .. }
            | Event::AttemptEnded { .. }
            | Event::MergeQueued { .. }
            | Event::MergeProgressed { .. }
            | Event::ConflictDecided { .. }
            | Event::MergeWaiting { .. }
            | Event::MergeDecided { .. }
            | Event::GateFinished { .. }
            | Event::IntegrityFlagged { .. }
            | Event::LandingIntended { .. }
            | Event::MergeEnded { .. }
            | Event::TaskCompleted { .. }
            | Event::TaskReturned { .. }
            | Event::TaskFailed { .. }
            | Event::TaskCancelled { .. }
            | Event::TaskBlocked { .. }
            | Event::TaskRecovered { .. } => {}
        }
    }

    fn end(&mut self, at: OffsetDateTime, state: RunState, reason: Option<Reason>) {
        self.run.state = state;
        self.run.ended_at = Some(at);
        self.run.reason = reason;
        self.doing.clear();
    }
}

#[cfg(test)]
pub(super) mod tests;
