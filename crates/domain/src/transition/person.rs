//! Decisions about work whose merge waits for a person.

use super::{
    Decision, Refusal,
    task::{fail, named, put_back},
};
use crate::{
    event::Event,
    ids::{MergeId, TaskId},
    merge::{Answer, MergeEnd},
    run::{Reason, ReasonCode},
    task::TaskState,
};

/// The task stays where it is: what it cost is kept until a person has looked.
pub(super) fn asked(
    mut decision: Decision,
    merge: MergeId,
    conflicts: &[String],
    why: &str,
) -> Result<Decision, Refusal> {
    let task = merging(&mut decision)?;
    let event = Event::MergeWaiting {
        merge,
        conflicts: conflicts.to_vec(),
        why: why.to_owned(),
    };
    decision.events.push((Some(task), event));
    Ok(decision)
}

pub(super) fn answered(mut decision: Decision, merge: MergeId, answer: &Answer, by: &str) -> Result<Decision, Refusal> {
    let task = merging(&mut decision)?;
    match answer {
        Answer::Resolved { paths } => {
            let event = Event::MergeDecided {
                merge,
                paths: paths.clone(),
                by: by.to_owned(),
            };
            decision.events.push((Some(task), event));
        }
        Answer::SentBack { note } => {
            let reason = Reason::new(ReasonCode::Conflict, format!("{by} sent it back: {note}"));
            decision.events.push((Some(task), ended(merge, &reason)));
            put_back(&mut decision, &reason);
        }
        Answer::Abandoned { reason } => {
            let reason = Reason::new(ReasonCode::Requested, format!("{by} gave the work up: {reason}"));
            decision.events.push((Some(task), ended(merge, &reason)));
            fail(&mut decision, &reason);
        }
    }
    Ok(decision)
}

fn ended(merge: MergeId, reason: &Reason) -> Event {
    let end = MergeEnd::Rejected { reason: reason.clone() };
    Event::MergeEnded { merge, end }
}

fn merging(decision: &mut Decision) -> Result<TaskId, Refusal> {
    let task = named(decision)?;
    match task.state {
        TaskState::Merging => Ok(task.id),
        TaskState::Planned
        | TaskState::Ready
        | TaskState::Active
        | TaskState::Complete
        | TaskState::Failed
        | TaskState::Cancelled => Err(Refusal::Stale(format!(
            "task {} is {}, not merging",
            task.key, task.state
        ))),
    }
}
