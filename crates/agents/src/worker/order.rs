//! What a worker is asked to do.

use crate::{port::CallResult, profile::Profile};
use domain::{
    CommitId, TaskKey,
    limits::RunLimits,
    plan::{Acceptance, Interface, Paths, TaskCheck},
    run::Check,
};
use llm::ModelRef;
use serde_json::Value;
use std::time::Instant;

/// One attempt at one task.
#[derive(Clone, Debug)]
pub struct WorkOrder {
    /// The run's short name.
    pub run: String,
    /// The task's key.
    pub task: TaskKey,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The task in a line.
    pub title: String,
    /// What to do.
    pub instructions: String,
    /// What must be observable when it is done.
    pub acceptance: Vec<Acceptance>,
    /// The check command of the gate.
    pub gate: Check,
    /// The task's own check.
    pub check: Option<TaskCheck>,
    /// The objective of the whole run.
    pub objective: String,
    /// The interfaces that the task provides or needs.
    pub interfaces: Vec<Interface>,
    /// The results of the tasks it depends on.
    pub hand_offs: Vec<HandOff>,
    /// Why the attempt before this one failed.
    pub feedback: Option<Feedback>,
    /// The paths that the task is expected to change.
    pub paths: Paths,
    /// The commit the worktree starts from.
    pub base: CommitId,
    /// Files of the worktree that hold conflict markers.
    pub conflicted: Vec<String>,
    /// The kind of worker.
    pub profile: Profile,
    /// The model to use.
    pub model: ModelRef,
    /// The run's limits.
    pub limits: RunLimits,
    /// The turns of this attempt that are journaled already, oldest first. Empty for a new attempt.
    pub resume: Vec<JournaledTurn>,
    /// When the attempt's time is over.
    pub deadline: Instant,
}

/// The result of a task that this one depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOff {
    /// Its key.
    pub key: TaskKey,
    /// Its title.
    pub title: String,
    /// The commit that landed it; `None` where nothing had to change.
    pub commit: Option<CommitId>,
    /// The report of its worker.
    pub summary: String,
    /// The paths it changed.
    pub paths: Vec<String>,
}

/// Why the previous attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Which attempt it was.
    pub attempt: u32,
    /// Why it failed.
    pub reason: String,
    /// The output of the gate, or the conflict; may be empty.
    pub output: String,
}

/// A turn that is journaled already.
#[derive(Clone, Debug, PartialEq)]
pub struct JournaledTurn {
    /// From 1.
    pub number: u32,
    /// What the backend recorded in [`crate::port::Turn::payload`].
    pub payload: Value,
    /// The calls that were started, in order.
    pub calls: Vec<JournaledCall>,
}

/// A call that is journaled already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledCall {
    /// Unique within its turn.
    pub id: String,
    /// How it ended; `None` where the process stopped before.
    pub result: Option<CallResult>,
}
