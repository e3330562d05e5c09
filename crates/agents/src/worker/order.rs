//! What a worker is given.

use crate::profile::Profile;
use domain::{
    CommitId, TaskKey,
    limits::RunLimits,
    plan::{Acceptance, Interface, Paths, TaskCheck},
    run::Check,
};
use llm::{Message, ModelRef};
use std::time::Instant;

/// One attempt at one task.
#[derive(Clone, Debug)]
pub struct WorkOrder {
    /// The run's short name.
    pub run: String,
    /// The task's key.
    pub task: TaskKey,
    /// Which try, from 1.
    pub attempt: u32,
    /// The task in a line.
    pub title: String,
    /// What to do.
    pub instructions: String,
    /// What can be observed when it is done.
    pub acceptance: Vec<Acceptance>,
    /// How the merged tree is checked.
    pub gate: Check,
    /// The task's own check.
    pub check: Option<TaskCheck>,
    /// What the whole run is to achieve.
    pub objective: String,
    /// The contracts this task provides or builds on.
    pub interfaces: Vec<Interface>,
    /// What the tasks before this one delivered.
    pub hand_offs: Vec<HandOff>,
    /// Why the attempt before this one was not enough.
    pub feedback: Option<Feedback>,
    /// What the task is expected to touch.
    pub paths: Paths,
    /// The commit the worktree starts from.
    pub base: CommitId,
    /// Files of the worktree that hold conflict markers.
    pub conflicted: Vec<String>,
    /// What kind of worker this is.
    pub profile: Profile,
    /// Who is asked.
    pub model: ModelRef,
    /// How much it may take.
    pub limits: RunLimits,
    /// The turns of this attempt that are journaled already, oldest first.
    pub resume: Vec<JournaledTurn>,
    /// When the attempt has had its time.
    pub deadline: Instant,
}

/// What a task before this one delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOff {
    /// Its key.
    pub key: TaskKey,
    /// Its title.
    pub title: String,
    /// The commit that brought it; `None` where nothing had to change.
    pub commit: Option<CommitId>,
    /// What its worker reported.
    pub summary: String,
    /// The paths it changed.
    pub paths: Vec<String>,
}

/// What is known of the attempt before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Which try it was.
    pub attempt: u32,
    /// Why it was not enough.
    pub reason: String,
    /// What the gate printed, or what the conflict looks like; empty where there is nothing to show.
    pub output: String,
}

/// A turn as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledTurn {
    /// Which turn, from 1.
    pub turn: u32,
    /// The answer, as [`crate::port::Journal::turn_answered`] was given it.
    pub assistant: Message,
    /// The calls whose intent is journaled, each with its result if that is, too.
    pub results: Vec<(String, Option<String>)>,
}
