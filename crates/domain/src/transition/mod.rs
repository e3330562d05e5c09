//! State and event in, new state and effects out. Pure: the same input always gives the same decision.

mod person;
mod run;
mod task;
#[cfg(test)]
mod tests;

use crate::{
    effect::Effect,
    event::{Event, Fact},
    ids::TaskId,
    run::Run,
    schedule::NewTask,
    task::{Child, Task},
};

/// The rows a decision is made from: the run, the task the event is about, and its direct dependents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The run.
    pub run: Run,
    /// The task, for an event about one.
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
    /// What to do next.
    pub effects: Vec<Effect>,
    /// What to append to the log, each with the task it is about.
    pub facts: Vec<(Option<TaskId>, Fact)>,
    /// Events for other tasks, to be applied in the same transaction.
    pub follow: Vec<(TaskId, Event)>,
    /// Whether every task that is still open is to be cancelled in the same transaction.
    pub cancel_open: bool,
}

/// Why an event changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The event is of an earlier claim, or repeats what already happened. Dropping it is right.
    #[error("the event is stale: {0}")]
    Stale(String),
    /// The event can't happen in this state; for a person's request, the way out is in the text.
    #[error("{0}")]
    Illegal(String),
}

/// Decides what an event changes.
///
/// # Errors
/// [`Refusal`] where it changes nothing.
pub fn transition(snapshot: &Snapshot, event: &Event) -> Result<Decision, Refusal> {
    let decision = Decision {
        run: snapshot.run.clone(),
        task: snapshot.task.clone(),
        children: snapshot.children.clone(),
        insert: Vec::new(),
        effects: Vec::new(),
        facts: Vec::new(),
        follow: Vec::new(),
        cancel_open: false,
    };
    match event {
        Event::Prepared {
            base,
            base_branch,
            check,
        } => run::prepared(decision, base, base_branch, check),
        Event::Planned {
            plan,
            repairs,
            changes: _,
        } => run::planned(decision, plan, repairs),
        Event::RunFailed { reason } => run::failed(decision, reason),
        Event::DeliverAsked { allow_integrity_flags } => run::deliver_asked(decision, *allow_integrity_flags),
        Event::PushIntended { intent } => run::delivering(decision, Fact::PushIntended(intent.clone())),
        Event::DeliveryMoved { end } => run::delivering(decision, Fact::DeliveryMoved(end.clone())),
        Event::Delivered { commit, checkout } => run::delivered(decision, commit, checkout),
        Event::Expired => run::expired(decision),
        Event::CancelAsked => run::cancel_asked(decision),
        Event::AttemptEnded { fence, end } => task::attempt_ended(decision, *fence, end),
        Event::ProcessLost { fence, progressed } => task::process_lost(decision, *fence, *progressed),
        Event::MergeEnded { merge, end } => task::merge_ended(decision, *merge, end),
        Event::PersonAsked { merge, conflicts, why } => person::asked(decision, *merge, conflicts, why),
        Event::PersonAnswered { merge, answer, by } => person::answered(decision, *merge, answer, by),
        Event::ParentLost { parent } => task::parent_lost(decision, parent),
        Event::TaskCancelled { landing } => task::cancelled(decision, *landing),
    }
}
