//! Events of tasks and their workers.

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
    /// It failed finally.
    Failure,
    /// It was cancelled.
    Cancelled,
}

impl TaskStatus {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// The name in `automation_job_steps_total`.
    const fn as_step_status(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TryFrom<TaskState> for TaskStatus {
    /// The state, if it is not a final one.
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

/// A task's state changed in the database; a new task has no previous state.
pub fn transition(from: Option<TaskState>, to: TaskState) {
    TRANSITIONS.add(1, [from.map_or("none", TaskState::as_str), to.as_str()]);
}

/// An active worker, until this is dropped.
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

/// A worker claimed a task that waited this long for a slot.
pub fn attempt_started(profile: &str, waited: Duration) -> Working {
    SCHEDULE_TO_START.observe(waited, []);
    blocked("slot", waited);
    ACTIVE_WORKERS.change(1, [profile]);
    Working {
        profile: profile.to_owned(),
    }
}

/// A task ended after this much work time and this many retries. Called once per task.
pub fn finished(status: TaskStatus, profile: &str, duration: Duration, retries: u32) {
    COMPLETIONS.add(1, [status.as_str(), profile]);
    AUTOMATION_STEPS.add(1, [profile, status.as_step_status()]);
    DURATION.observe(duration, [profile]);
    RETRIES.observe_value(f64::from(retries), []);
}

/// The number of tasks per state, according to the database; states that are not listed have none.
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

/// The used and free worker slots of this process.
pub fn worker_slots(used: i64, free: i64) {
    WORKER_SLOTS.set(used as f64, ["used"]);
    WORKER_SLOTS.set(free as f64, ["free"]);
}

/// A task was blocked this long by a `dependency`, a `slot`, a `rate_limit` or an `outage`.
pub fn blocked(reason: &'static str, duration: Duration) {
    BLOCKED.add(duration.as_secs_f64(), [reason]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tasks::STATES;

    #[test]
    fn state_labels_match_the_domain() {
        assert_eq!(STATES, TaskState::ALL.map(TaskState::as_str));
    }
}
