//! Decisions about one task.

use super::{Decision, Refusal, run};
use crate::{
    event::Event,
    ids::{CommitId, Fence, MergeId, TaskKey},
    input::Input,
    merge::{MergeEnd, QueueChange},
    run::{Reason, ReasonCode},
    task::{AttemptEnd, Task, TaskState},
};

/// Seconds before the second try after a trouble that may pass.
const FIRST_WAIT_S: u32 = 2;
/// Seconds that such a wait grows to at most.
const LONGEST_WAIT_S: u32 = 120;

pub(super) fn attempt_ended(mut decision: Decision, fence: Fence, end: &AttemptEnd) -> Result<Decision, Refusal> {
    let task = held(&mut decision, fence)?;
    let id = task.id;
    match end {
        AttemptEnd::Submitted { commit } => {
            task.state = TaskState::Merging;
            decision.run.active -= 1;
            decision.queue.push(QueueChange::Submit {
                task: id,
                commit: commit.clone(),
            });
            decision
                .events
                .push((Some(id), Event::MergeQueued { commit: commit.clone() }));
        }
        AttemptEnd::Unchanged => {
            let failure = end.failure(task.change);
            decision.run.active -= 1;
            match failure {
                None => complete(&mut decision, None),
                Some(reason) => try_again(&mut decision, &reason),
            }
        }
        AttemptEnd::Failed { reason } => {
            decision.run.active -= 1;
            try_again(&mut decision, reason);
        }
        AttemptEnd::Unrecoverable { reason } => {
            decision.run.active -= 1;
            fail(&mut decision, reason);
            if matches!(reason.code, ReasonCode::Budget | ReasonCode::Internal) && !decision.run.state.is_final() {
                run::fail(&mut decision, reason);
            }
        }
        AttemptEnd::Released => {
            task.state = TaskState::Ready;
            task.resume = true;
            decision.run.active -= 1;
            decision.run.ready += 1;
            decision.events.push((Some(id), Event::TaskReady));
        }
    }
    Ok(decision)
}

pub(super) fn process_lost(mut decision: Decision, fence: Fence, progressed: bool) -> Result<Decision, Refusal> {
    let limit = decision.run.tries.crashes;
    let task = held(&mut decision, fence)?;
    task.crashes = if progressed { 0 } else { task.crashes + 1 };
    let (id, crashes) = (task.id, task.crashes);
    decision.run.active -= 1;
    if crashes >= limit {
        let reason = Reason::new(
            ReasonCode::Poison,
            format!(
                "the process died under this task {crashes} times (limit crashes = {limit}); its attempts show where"
            ),
        );
        fail(&mut decision, &reason);
        return Ok(decision);
    }
    if let Some(task) = &mut decision.task {
        task.state = TaskState::Ready;
        task.resume = true;
    }
    decision.run.ready += 1;
    decision.events.push((Some(id), Event::TaskRecovered { crashes }));
    Ok(decision)
}

pub(super) fn merge_ended(mut decision: Decision, merge: MergeId, end: &MergeEnd) -> Result<Decision, Refusal> {
    let task = named(&mut decision)?;
    if task.state != TaskState::Merging {
        return Err(Refusal::Stale(format!(
            "task {} is {}, not merging",
            task.key, task.state
        )));
    }
    let id = task.id;
    decision.events.push((
        Some(id),
        Event::MergeEnded {
            merge,
            end: end.clone(),
        },
    ));
    match end {
        MergeEnd::Landed { commit } => complete(&mut decision, Some(commit)),
        MergeEnd::Rejected { reason } => try_again(&mut decision, reason),
        MergeEnd::Error { reason } => fail(&mut decision, reason),
    }
    Ok(decision)
}

pub(super) fn parent_lost(mut decision: Decision, parent: &TaskKey) -> Result<Decision, Refusal> {
    let task = named(&mut decision)?;
    match task.state {
        TaskState::Planned => {
            let reason = Reason::new(
                ReasonCode::Dependency,
                format!("task {parent}, which this one waits for, did not complete"),
            );
            drop_task(&mut decision, &reason);
            Ok(decision)
        }
        TaskState::Complete | TaskState::Failed | TaskState::Cancelled => {
            Err(Refusal::Stale(format!("task {} is already {}", task.key, task.state)))
        }
        TaskState::Ready | TaskState::Active | TaskState::Merging => Err(Refusal::Illegal(format!(
            "task {} is {} although {parent} never completed",
            task.key, task.state
        ))),
    }
}

pub(super) fn cancelled(mut decision: Decision, landing: bool) -> Result<Decision, Refusal> {
    let task = named(&mut decision)?;
    let id = task.id;
    match task.state {
        TaskState::Merging if landing => {
            return Err(Refusal::Illegal(format!(
                "the work of task {} is being landed; an intent is never taken back",
                task.key
            )));
        }
        TaskState::Planned | TaskState::Ready => {}
        TaskState::Active => decision.run.active -= 1,
        TaskState::Merging => decision.queue.push(QueueChange::Withdraw { task: id }),
        TaskState::Complete | TaskState::Failed | TaskState::Cancelled => {
            return Err(Refusal::Stale(format!("task {} is already {}", task.key, task.state)));
        }
    }
    let reason = decision
        .run
        .reason
        .clone()
        .unwrap_or_else(|| Reason::new(ReasonCode::Requested, "the run ended"));
    drop_task(&mut decision, &reason);
    Ok(decision)
}

/// The work is in the branch, or none was needed: dependents are released.
fn complete(decision: &mut Decision, commit: Option<&CommitId>) {
    let Some(task) = &mut decision.task else {
        return;
    };
    let id = task.id;
    task.state = TaskState::Complete;
    task.reason = None;
    decision.run.open -= 1;
    decision.events.push((
        Some(id),
        Event::TaskCompleted {
            commit: commit.cloned(),
        },
    ));
    if !decision.run.state.is_final() {
        for child in &mut decision.children {
            if child.state != TaskState::Planned {
                continue;
            }
            child.pending -= 1;
            if child.pending == 0 {
                child.state = TaskState::Ready;
                decision.run.ready += 1;
                decision.events.push((Some(child.id), Event::TaskReady));
            }
        }
    }
    run::settle(decision);
}

/// A handled failure: back to a worker, or the end of the task when it has had its tries.
fn try_again(decision: &mut Decision, reason: &Reason) {
    let limit = decision.run.tries.failures;
    let Some(task) = &mut decision.task else {
        return;
    };
    task.failures += 1;
    if task.failures >= limit {
        let last = Reason::new(
            reason.code,
            format!(
                "{} (after {} tries; limit failures = {limit})",
                reason.message, task.failures
            ),
        );
        fail(decision, &last);
        return;
    }
    task.wait_s = backoff_s(reason.code, task.failures);
    put_back(decision, reason);
}

/// Back to a worker, unless the run is over.
pub(super) fn put_back(decision: &mut Decision, reason: &Reason) {
    if decision.run.state.is_final() {
        drop_task(decision, reason);
        return;
    }
    let Some(task) = &mut decision.task else {
        return;
    };
    let id = task.id;
    task.state = TaskState::Ready;
    decision.run.ready += 1;
    decision
        .events
        .push((Some(id), Event::TaskReturned { reason: reason.clone() }));
}

/// How long a failed task waits for its next try: not at all where the work was wrong, longer each time where the
/// model's provider or the machine was, so that a passing trouble does not use up every try in a moment.
fn backoff_s(code: ReasonCode, failures: u32) -> u32 {
    match code {
        ReasonCode::Model | ReasonCode::Internal => {
            let doubled = FIRST_WAIT_S.saturating_mul(1 << failures.saturating_sub(1).min(16));
            doubled.min(LONGEST_WAIT_S)
        }
        ReasonCode::Workspace
        | ReasonCode::Plan
        | ReasonCode::Budget
        | ReasonCode::Limit
        | ReasonCode::Worker
        | ReasonCode::Gate
        | ReasonCode::Conflict
        | ReasonCode::Task
        | ReasonCode::Dependency
        | ReasonCode::Poison
        | ReasonCode::Moved
        | ReasonCode::Delivery
        | ReasonCode::Requested => 0,
    }
}

/// The task failed for good; what waits for it will not be done.
pub(super) fn fail(decision: &mut Decision, reason: &Reason) {
    let Some(task) = &mut decision.task else {
        return;
    };
    let (id, key) = (task.id, task.key.clone());
    task.state = TaskState::Failed;
    task.reason = Some(reason.clone());
    decision.run.open -= 1;
    decision.run.failed += 1;
    if decision.run.reason.is_none() {
        decision.run.reason = Some(Reason::new(reason.code, format!("task {key}: {}", reason.message)));
    }
    decision
        .events
        .push((Some(id), Event::TaskFailed { reason: reason.clone() }));
    lose_children(decision, &key);
    run::settle(decision);
}

/// The task will not be done, and neither will what waits for it.
fn drop_task(decision: &mut Decision, reason: &Reason) {
    let Some(task) = &mut decision.task else {
        return;
    };
    let (id, key) = (task.id, task.key.clone());
    if task.state == TaskState::Ready {
        decision.run.ready -= 1;
    }
    task.state = TaskState::Cancelled;
    task.reason = Some(reason.clone());
    decision.run.open -= 1;
    decision
        .events
        .push((Some(id), Event::TaskCancelled { reason: reason.clone() }));
    lose_children(decision, &key);
    run::settle(decision);
}

fn lose_children(decision: &mut Decision, parent: &TaskKey) {
    let waiting = decision
        .children
        .iter()
        .filter(|child| child.state == TaskState::Planned);
    decision
        .follow
        .extend(waiting.map(|child| (child.id, Input::ParentLost { parent: parent.clone() })));
}

pub(super) fn named(decision: &mut Decision) -> Result<&mut Task, Refusal> {
    decision
        .task
        .as_mut()
        .ok_or_else(|| Refusal::Illegal("an input about a task came without one".into()))
}

/// The task, if the caller still holds it.
fn held(decision: &mut Decision, fence: Fence) -> Result<&mut Task, Refusal> {
    let task = named(decision)?;
    if task.fence != fence || task.state != TaskState::Active {
        return Err(Refusal::Stale(format!(
            "task {} is {} under fence {}, the input is of fence {fence}",
            task.key, task.state, task.fence
        )));
    }
    Ok(task)
}
