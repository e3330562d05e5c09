//! State and input in, new state and effects out. Pure: the same input always gives the same decision.

mod person;
mod run;
mod task;
#[cfg(test)]
mod tests;

use crate::{
    effect::Effect,
    event::Event,
    ids::TaskId,
    input::Input,
    merge::QueueChange,
    run::Run,
    schedule::NewTask,
    task::{Child, Task},
};

/// The rows a decision is made from: the run, the task the input is about, and its direct dependents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The run.
    pub run: Run,
    /// The task, for an input about one.
    pub task: Option<Task>,
    /// The task's direct dependents.
    pub children: Vec<Child>,
}

/// What is to be saved and done.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The run as it is now.
    pub run: Run,
    /// The task as it is now.
    pub task: Option<Task>,
    /// The direct dependents as they are now.
    pub children: Vec<Child>,
    /// Tasks to insert: only a plan makes any.
    pub insert: Vec<NewTask>,
    /// Work outside the database to start.
    pub effects: Vec<Effect>,
    /// Changes of the merge queue.
    pub queue: Vec<QueueChange>,
    /// What to append to the log, each with the task it is about.
    pub events: Vec<(Option<TaskId>, Event)>,
    /// Events for other tasks, to be applied in the same transaction.
    pub follow: Vec<(TaskId, Input)>,
    /// Whether every task that is still open is to be cancelled in the same transaction.
    pub cancel_open: bool,
}

/// Why an input changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The input is of an earlier claim, or repeats what already happened. Dropping it is right.
    #[error("the input is stale: {0}")]
    Stale(String),
    /// The input can't happen in this state; for a person's request, the way out is in the text.
    #[error("{0}")]
    Illegal(String),
}

/// Decides what an input changes.
///
/// # Errors
/// [`Refusal`] where it changes nothing.
pub fn transition(snapshot: &Snapshot, input: &Input) -> Result<Decision, Refusal> {
    let decision = Decision {
        run: snapshot.run.clone(),
        task: snapshot.task.clone(),
        children: snapshot.children.clone(),
        insert: Vec::new(),
        effects: Vec::new(),
        queue: Vec::new(),
        events: Vec::new(),
        follow: Vec::new(),
        cancel_open: false,
    };
    match input {
        Input::Prepared {
            base,
            base_branch,
            check,
        } => run::prepared(decision, base, base_branch, check),
        Input::Planned {
            plan,
            repairs,
            changes: _,
        } => run::planned(decision, plan, repairs),
        Input::RunFailed { reason } => run::failed(decision, reason),
        Input::EffectFailed { effect, reason } => Ok(run::effect_failed(decision, *effect, reason)),
        Input::DeliveryRequested { allow_integrity_flags } => run::delivery_requested(decision, *allow_integrity_flags),
        Input::PushIntended { intent } => run::delivering(decision, Event::PushIntended(intent.clone())),
        Input::DeliveryStepEnded { end } => run::delivering(decision, Event::DeliveryStepEnded(end.clone())),
        Input::Delivered { commit, checkout } => run::delivered(decision, commit, checkout),
        Input::Expired => run::expired(decision),
        Input::CancelRequested => run::cancel_requested(decision),
        Input::AttemptEnded { fence, end } => task::attempt_ended(decision, *fence, end),
        Input::ProcessLost { fence, progressed } => task::process_lost(decision, *fence, *progressed),
        Input::MergeEnded { merge, end } => task::merge_ended(decision, *merge, end),
        Input::PersonAsked { merge, conflicts, why } => person::asked(decision, *merge, conflicts, why),
        Input::PersonAnswered { merge, answer, by } => person::answered(decision, *merge, answer, by),
        Input::ParentLost { parent } => task::parent_lost(decision, parent),
        Input::TaskCancelled { landing } => task::cancelled(decision, *landing),
    }
}
