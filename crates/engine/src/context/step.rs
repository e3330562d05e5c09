//! One step: lock the rows, decide, save, append to the log, insert the effects. Every change of state is one.

use super::{Context, Ends};
use domain::{
    RunId, TaskId,
    input::Input,
    merge::QueueChange,
    run::{Reason, ReasonCode, Run, RunState},
    task::TaskState,
    transition::{Decision, Refusal, Snapshot, transition},
};
use std::collections::VecDeque;
use store::Tx;

/// Why a step changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The rules refused the input: it is stale, or can't happen.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such run or task.
    #[error("there is no run {0}, or no such task of it")]
    Unknown(RunId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a step changed, for those who are told after the commit.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Which run.
    pub(crate) run: RunId,
    /// The run's state before and after.
    pub(crate) state: (RunState, RunState),
    /// Tasks whose state changed: which, from, to.
    pub(crate) tasks: Vec<(TaskId, Option<TaskState>, TaskState)>,
}

impl Context {
    /// Applies an input in a transaction of its own, with what the caller writes beside it.
    pub(crate) async fn step<W>(
        &self,
        run: RunId,
        task: Option<TaskId>,
        input: Input,
        beside: W,
    ) -> Result<(), StepError>
    where
        W: AsyncFnOnce(&mut Tx) -> Result<(), StepError>,
    {
        let mut tx = self.store.begin().await?;
        let applied = apply(&mut tx, run, task, input).await?;
        beside(&mut tx).await?;
        tx.commit().await?;
        self.applied(&applied);
        Ok(())
    }

    /// Tells the metrics and the waiting parts of a committed step, and stops workers whose task was taken away.
    pub(crate) fn applied(&self, applied: &Applied) {
        for (task, from, to) in &applied.tasks {
            telemetry::task::transition(*from, *to);
            if *from == Some(TaskState::Active) && to.is_final() {
                self.working.stop_task(*task);
            }
        }
        let finished = applied.tasks.iter().filter(|(_, _, to)| to.is_final());
        let ends = Ends {
            run: applied.run,
            tasks: finished.map(|(task, ..)| *task).collect(),
            is_run: applied.state.0 != applied.state.1 && applied.state.1.is_final(),
            _under_way: self.under_way.token(),
        };
        if ends.is_run || !ends.tasks.is_empty() {
            // Nobody hears it only where the engine has stopped: then the database tells it to the next.
            drop(self.ends.send(ends));
        }
        self.wake.committed();
    }
}

/// Applies an input and everything that follows from it, in the caller's transaction.
///
/// The caller may write rows of its own into the same transaction afterwards; the run's row stays locked.
pub(crate) async fn apply(tx: &mut Tx, run: RunId, task: Option<TaskId>, input: Input) -> Result<Applied, StepError> {
    let before = tx.lock_run(run).await?.ok_or(StepError::Unknown(run))?.state;
    let mut applied = Applied {
        run,
        state: (before, before),
        tasks: Vec::new(),
    };
    let mut waiting = VecDeque::from([(task, input)]);
    let mut first = true;
    while let Some((task, input)) = waiting.pop_front() {
        match apply_one(tx, run, task, &input, &mut applied).await {
            Ok(decision) => {
                waiting.extend(decision.follow.into_iter().map(|(task, input)| (Some(task), input)));
                if decision.cancel_open {
                    for open in tx.open_tasks(run).await? {
                        let landing = tx.landing_intended(open).await?;
                        waiting.push_back((Some(open), Input::TaskCancelled { landing }));
                    }
                }
            }
            // What follows may have been overtaken within the same step: a task cancelled twice, for instance.
            Err(StepError::Refused(_)) if !first => {}
            Err(error) => return Err(error),
        }
        first = false;
    }
    Ok(applied)
}

async fn apply_one(
    tx: &mut Tx,
    run: RunId,
    task: Option<TaskId>,
    input: &Input,
    applied: &mut Applied,
) -> Result<Decision, StepError> {
    let snapshot = read(tx, run, task).await?;
    let decision = transition(&snapshot, input)?;
    save(tx, &snapshot, &decision, input, applied).await?;
    Ok(decision)
}

async fn read(tx: &mut Tx, run: RunId, task: Option<TaskId>) -> Result<Snapshot, StepError> {
    let run_row = tx.lock_run(run).await?.ok_or(StepError::Unknown(run))?;
    let Some(task) = task else {
        return Ok(Snapshot {
            run: run_row,
            task: None,
            children: Vec::new(),
        });
    };
    let row = tx.lock_task(task).await?.ok_or(StepError::Unknown(run))?;
    let children = tx.lock_children(task).await?;
    Ok(Snapshot {
        run: run_row,
        task: Some(row),
        children,
    })
}

async fn save(
    tx: &mut Tx,
    snapshot: &Snapshot,
    decision: &Decision,
    input: &Input,
    applied: &mut Applied,
) -> Result<(), StepError> {
    let run = decision.run.id;
    if decision.run != snapshot.run {
        tx.save_run(&decision.run).await?;
        applied.state.1 = decision.run.state;
        if decision.run.state.is_final() && !snapshot.run.state.is_final() {
            tx.drop_effects(run).await?;
        }
    }
    if let (Some(before), Some(after)) = (&snapshot.task, &decision.task)
        && before != after
    {
        tx.save_task(after).await?;
        if before.state == TaskState::Active && !matches!(input, Input::AttemptEnded { .. }) {
            tx.abandon_attempts(after.id).await?;
        }
        note(applied, after.id, Some(before.state), after.state);
    }
    for (before, after) in snapshot.children.iter().zip(&decision.children) {
        if before != after {
            tx.save_child(after).await?;
            note(applied, after.id, Some(before.state), after.state);
        }
    }
    save_input(tx, run, decision, input, applied).await?;
    for change in &decision.queue {
        save_queue_change(tx, &decision.run, change).await?;
    }
    for effect in &decision.effects {
        tx.insert_effect(run, effect).await?;
    }
    tx.append(run, &decision.events).await?;
    Ok(())
}

/// What only this kind of input brings along.
async fn save_input(
    tx: &mut Tx,
    run: RunId,
    decision: &Decision,
    input: &Input,
    applied: &mut Applied,
) -> Result<(), StepError> {
    match input {
        Input::Prepared {
            base,
            base_branch,
            check,
        } => tx.save_prepared(run, base, base_branch, check).await?,
        Input::Planned {
            plan,
            repairs: _,
            changes,
        } => {
            tx.save_plan(run, plan).await?;
            let ids = tx.insert_tasks(run, &decision.insert, &plan.tasks, changes).await?;
            for row in &decision.insert {
                if let Some(id) = ids.get(&row.key) {
                    note(applied, *id, None, row.state);
                }
            }
        }
        Input::DeliveryRequested { .. } => tx.begin_delivery(run).await?,
        Input::PushIntended { intent } => tx.save_push_intent(run, intent).await?,
        Input::DeliveryStepEnded { end } => tx.save_delivery_step(run, end).await?,
        Input::Delivered { commit, checkout } => tx.save_delivered(run, commit, checkout).await?,
        Input::RunFailed { .. }
        | Input::EffectFailed { .. }
        | Input::CancelRequested
        | Input::Expired
        | Input::AttemptEnded { .. }
        | Input::ProcessLost { .. }
        | Input::MergeEnded { .. }
        | Input::PersonAsked { .. }
        | Input::PersonAnswered { .. }
        | Input::ParentLost { .. }
        | Input::TaskCancelled { .. } => {}
    }
    Ok(())
}

async fn save_queue_change(tx: &mut Tx, run: &Run, change: &QueueChange) -> Result<(), StepError> {
    match change {
        QueueChange::Submit { task, commit } => tx.queue_merge(run.id, *task, commit).await?,
        QueueChange::Withdraw { task } => {
            let reason = run.reason.clone();
            let reason = reason.unwrap_or_else(|| Reason::new(ReasonCode::Requested, "the run ended"));
            tx.drop_merge(*task, &reason).await?;
        }
    }
    Ok(())
}

fn note(applied: &mut Applied, task: TaskId, from: Option<TaskState>, to: TaskState) {
    if from != Some(to) {
        applied.tasks.push((task, from, to));
    }
}
