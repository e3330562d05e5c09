//! What happens to tasks and to the workers that do them.

use crate::catalogue::{
    compatibility::AUTOMATION_STEPS,
    tasks::{
        ACTIVE, ACTIVE_WORKERS, BLOCKED, BY_STATE, COMPLETIONS, DURATION, RETRIES, SCHEDULE_TO_START, TRANSITIONS,
        WORKER_SLOTS,
    },
};
use domain::task::TaskState;
use std::time::Duration;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// Its work has landed, or it was accepted without a change.
    Success,
    /// It failed for good.
    Failure,
    /// It was cancelled.
    Cancelled,
}

impl TaskStatus {
    /// As the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// As `automation_job_steps_total` writes it.
    const fn as_step_status(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TryFrom<TaskState> for TaskStatus {
    /// The state, which is not one that a task ends in.
    type Error = TaskState;

    fn try_from(state: TaskState) -> Result<Self, TaskState> {
        match state {
            TaskState::Complete => Ok(Self::Success),
            TaskState::Failed => Ok(Self::Failure),
            TaskState::Cancelled => Ok(Self::Cancelled),
            TaskState::Planned | TaskState::Ready | TaskState::Active | TaskState::Merging => Err(state),
        }
    }
}

/// A task's state changed, as committed to the database; a new task comes from nothing.
pub fn transition(from: Option<TaskState>, to: TaskState) {
    TRANSITIONS.add(1, [from.map_or("none", TaskState::as_str), to.as_str()]);
}

/// A worker at work; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the worker counts as done when this is dropped"]
pub struct Working {
    profile: String,
}

impl Drop for Working {
    fn drop(&mut self) {
        ACTIVE_WORKERS.change(-1, [&self.profile]);
    }
}

/// A worker took a task that had been ready for so long: it waited for a slot.
pub fn attempt_started(profile: &str, waited: Duration) -> Working {
    SCHEDULE_TO_START.observe(waited, []);
    blocked("slot", waited);
    ACTIVE_WORKERS.change(1, [profile]);
    Working {
        profile: profile.to_owned(),
    }
}

/// A task ended, after a worker spent so long on it and so many tries beyond the first. Called once for each task.
pub fn finished(status: TaskStatus, profile: &str, duration: Duration, retries: u32) {
    COMPLETIONS.add(1, [status.as_str(), profile]);
    AUTOMATION_STEPS.add(1, [profile, status.as_step_status()]);
    DURATION.observe(duration, [profile]);
    RETRIES.observe_value(f64::from(retries), []);
}

/// So many tasks are in each state, as the database has it; a state that is not named has none.
pub fn states(counts: &[(TaskState, i64)]) {
    for state in TaskState::ALL {
        let tasks: i64 = counts
            .iter()
            .filter(|(counted, _)| *counted == state)
            .map(|(_, tasks)| tasks)
            .sum();
        BY_STATE.set(tasks as f64, [state.as_str()]);
        if state == TaskState::Active {
            ACTIVE.set(tasks as f64, []);
        }
    }
}

/// So many of this process's places for workers are taken, and so many free.
pub fn worker_slots(used: i64, free: i64) {
    WORKER_SLOTS.set(used as f64, ["used"]);
    WORKER_SLOTS.set(free as f64, ["free"]);
}

/// A task could not go on for so long: for a `dependency`, a `slot` or a `rate_limit`.
pub fn blocked(reason: &'static str, duration: Duration) {
    BLOCKED.add(duration.as_secs_f64(), [reason]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tasks::STATES;

    #[test]
    fn the_labels_of_states_are_the_states_of_the_domain() {
        assert_eq!(STATES, TaskState::ALL.map(TaskState::as_str));
    }
}
