//! Decisions about the run as a whole.

use super::{Decision, Refusal};
use crate::{
    effect::{Effect, EffectKind},
    event::Event,
    ids::CommitId,
    plan::PlanDocument,
    run::{Check, Reason, ReasonCode, RunState},
    schedule,
    task::TaskState,
};

pub(super) fn prepared(
    mut decision: Decision,
    base: &CommitId,
    base_branch: &str,
    check: &Check,
) -> Result<Decision, Refusal> {
    expect(&decision, RunState::Planning)?;
    if decision.run.base.is_some() {
        return Err(Refusal::Stale("the workspace is already prepared".into()));
    }
    decision.run.base = Some(base.clone());
    decision.effects.push(Effect::Plan);
    decision.events.push((
        None,
        Event::WorkspacePrepared {
            base: base.clone(),
            base_branch: base_branch.to_owned(),
            check: check.clone(),
        },
    ));
    Ok(decision)
}

pub(super) fn planned(mut decision: Decision, plan: &PlanDocument, repairs: &[String]) -> Result<Decision, Refusal> {
    expect(&decision, RunState::Planning)?;
    let rows = schedule::rows(plan);
    decision.run.state = RunState::Running;
    decision.run.open = rows.len() as i64;
    decision.run.ready = rows.iter().filter(|row| row.state == TaskState::Ready).count() as i64;
    decision.insert = rows;
    decision.events.push((
        None,
        Event::PlanSaved {
            version: 1,
            tasks: plan.tasks.len() as u32,
            levels: schedule::levels(plan),
            repairs: repairs.to_vec(),
        },
    ));
    Ok(decision)
}

pub(super) fn failed(mut decision: Decision, reason: &Reason) -> Result<Decision, Refusal> {
    if decision.run.state.is_final() {
        return Err(Refusal::Stale(format!("the run is already {}", decision.run.state)));
    }
    fail(&mut decision, reason);
    Ok(decision)
}

/// An effect failed whose failure leaves the run as it is.
pub(super) fn effect_failed(mut decision: Decision, effect: EffectKind, reason: &Reason) -> Decision {
    let event = Event::EffectFailed {
        effect: effect.as_str().to_owned(),
        reason: reason.clone(),
    };
    decision.events.push((None, event));
    decision
}

pub(super) fn delivered(mut decision: Decision, commit: &CommitId, checkout: &str) -> Result<Decision, Refusal> {
    expect(&decision, RunState::Delivering)?;
    decision.run.state = RunState::Complete;
    decision.events.push((
        None,
        Event::RunCompleted {
            commit: commit.clone(),
            checkout: checkout.to_owned(),
        },
    ));
    Ok(decision)
}

/// Hands the work over once more, or at last. What a complete run delivered stays delivered, whatever comes of it.
pub(super) fn delivery_requested(mut decision: Decision, allow_integrity_flags: bool) -> Result<Decision, Refusal> {
    let asked = Event::DeliveryRequested { allow_integrity_flags };
    let undelivered = decision
        .run
        .reason
        .as_ref()
        .is_some_and(|reason| reason.code == ReasonCode::Delivery);
    match decision.run.state {
        RunState::Complete => decision.events.push((None, asked)),
        RunState::Failed if undelivered => {
            decision.run.state = RunState::Delivering;
            decision.run.reason = None;
            decision.events.extend([(None, asked), (None, Event::RunDelivering)]);
        }
        RunState::Delivering => return Err(Refusal::Stale("the run is being delivered".into())),
        RunState::Planning | RunState::Running => {
            return Err(Refusal::Illegal(format!(
                "the run is {}: it is delivered by itself when its last task is complete",
                decision.run.state
            )));
        }
        RunState::Failed | RunState::Cancelled => {
            return Err(Refusal::Illegal(format!(
                "the run is {} before everything had landed, so there is nothing whole to deliver; what has landed is \
                 in the hub",
                decision.run.state
            )));
        }
    }
    let again = decision.run.state == RunState::Complete;
    decision.effects.push(Effect::Deliver { again });
    Ok(decision)
}

/// Gives up what an ended run left. That it was not given up before is for the row to say.
pub(super) fn expired(mut decision: Decision) -> Result<Decision, Refusal> {
    if !decision.run.state.is_final() {
        return Err(Refusal::Stale(format!("the run is {}", decision.run.state)));
    }
    decision.events.push((None, Event::RunExpired));
    Ok(decision)
}

/// Something was done on the way.
pub(super) fn delivering(mut decision: Decision, event: Event) -> Result<Decision, Refusal> {
    if decision.run.state != RunState::Complete {
        expect(&decision, RunState::Delivering)?;
    }
    decision.events.push((None, event));
    Ok(decision)
}

pub(super) fn cancel_requested(mut decision: Decision) -> Result<Decision, Refusal> {
    match decision.run.state {
        RunState::Planning | RunState::Running => {}
        RunState::Delivering => {
            return Err(Refusal::Illegal(
                "the run is delivering: everything has landed, so there is nothing left to cancel".into(),
            ));
        }
        RunState::Cancelled => return Err(Refusal::Stale("the run is already cancelled".into())),
        RunState::Complete | RunState::Failed => {
            return Err(Refusal::Illegal(format!(
                "the run is already {}; only a run under way can be cancelled",
                decision.run.state
            )));
        }
    }
    decision.run.state = RunState::Cancelled;
    decision.run.reason = Some(Reason::new(ReasonCode::Requested, "cancelled on request"));
    decision.cancel_open = true;
    decision.events.push((None, Event::RunCancelled));
    Ok(decision)
}

/// Ends the run without its objective, and every open task with it.
pub(super) fn fail(decision: &mut Decision, reason: &Reason) {
    decision.run.state = RunState::Failed;
    decision.run.reason = Some(reason.clone());
    decision.cancel_open = true;
    decision
        .events
        .push((None, Event::RunFailed { reason: reason.clone() }));
}

/// Moves the run on when its last open task has ended.
pub(super) fn settle(decision: &mut Decision) {
    if decision.run.state != RunState::Running || decision.run.open > 0 {
        return;
    }
    if decision.run.failed == 0 {
        decision.run.state = RunState::Delivering;
        decision.effects.push(Effect::Deliver { again: false });
        decision.events.push((None, Event::RunDelivering));
        return;
    }
    let reason = decision
        .run
        .reason
        .clone()
        .unwrap_or_else(|| Reason::new(ReasonCode::Task, "a task failed for good"));
    decision.run.state = RunState::Failed;
    decision.events.push((None, Event::RunFailed { reason }));
}

fn expect(decision: &Decision, state: RunState) -> Result<(), Refusal> {
    if decision.run.state == state {
        Ok(())
    } else {
        Err(Refusal::Stale(format!(
            "the run is {}, not {state}",
            decision.run.state
        )))
    }
}
