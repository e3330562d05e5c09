//! Claims what can be done and starts it: tasks into free slots, effects, and a merger for each branch with a
//! queue. Claims only what has a free place: nothing is fetched ahead.
//!
//! Nothing else in the process claims, so what the database says is held here and nobody here works on was lost on
//! the way (an answer that never came, a panic), and is taken up again.

pub(crate) mod heartbeat;

use crate::{
    context::{Busy, Claim, Context, Running, StepError, What},
    disk::Disk,
    effects,
    merge::{self, BranchLock, Gates},
};
use domain::{input::Input, task::TaskState};
use heartbeat::Heartbeat;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use store::claim::Claimed;

/// Effects performed here at one time.
const EFFECTS_AT_ONCE: usize = 8;
/// Branches merged onto here at one time. What takes time in a merge has limits of its own: checks, calls to models.
const MERGERS_AT_ONCE: usize = 64;
/// How often what runs here is compared with what the database says.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Runs until the engine is drained.
pub(crate) async fn dispatch(context: Context, heartbeat: Heartbeat, disk: Disk, gates: Gates) {
    let busy = context.busy.clone();
    let mut tick = context.wake.watch_work();
    let poll = context.settings.poll;
    let mut compared = Instant::now();
    while !context.drain.is_cancelled() {
        tick.mark_unchanged();
        let mut claimed = false;
        if heartbeat.holds() && disk.has_room() {
            match claim(&context, &busy, &gates).await {
                Ok(some) => claimed = some,
                Err(error) => tracing::warn!(%error, "nothing could be claimed; it is tried again"),
            }
        }
        if compared.elapsed() >= COMPARE_EVERY {
            compared = Instant::now();
            if let Err(error) = compare(&context).await {
                tracing::debug!(%error, "what runs here is compared with the database later");
            }
        }
        if !claimed {
            // A wake, the next poll and the drain all lead to another look.
            tokio::select! {
                _ = tick.changed() => {}
                () = tokio::time::sleep(poll) => {}
                () = context.drain.cancelled() => {}
            }
        }
    }
}

/// Claims a round; `true` if there was anything, so that there may be more.
async fn claim(context: &Context, busy: &Busy, gates: &Gates) -> Result<bool, store::Error> {
    let effects = claim_effects(context, busy).await?;
    if !context.settings.duties.works() {
        return Ok(effects);
    }
    let tasks = claim_tasks(context).await?;
    let merges = claim_merges(context, busy, gates).await?;
    Ok(tasks || effects || merges)
}

async fn claim_tasks(context: &Context) -> Result<bool, store::Error> {
    let mut slots = context.working.take_free_slots();
    let free = slots.count() as i64;
    telemetry::task::worker_slots(i64::from(context.settings.slots) - free, free);
    if free == 0 || context.troubles.rests_from_tasks() {
        return Ok(false);
    }
    let full = match context.worker.uses_provider_slots() {
        true => context.models.full_providers(),
        false => Vec::new(),
    };
    if !full.is_empty() && context.store.show_blocked_on_providers(&full, free).await? {
        context.wake.told();
    }
    let claimed = context.store.claim(context.holder, free, &full).await?;
    let any = !claimed.is_empty();
    for task in claimed {
        telemetry::task::transition(Some(TaskState::Ready), TaskState::Active);
        // Entered before anything else happens, so that a cancel finds the attempt.
        let claim = (task.task, task.fence);
        let running = context.working.enter(claim, context.drain.child_token(), slots.take());
        context.under_way.spawn(work(context.clone(), task, running));
    }
    if any {
        context.wake.committed();
    }
    Ok(any)
}

async fn work(context: Context, task: Claimed, running: Running) {
    effects::work::perform(&context, task, &running).await;
    drop(running);
    context.wake.committed();
}

async fn claim_effects(context: &Context, busy: &Busy) -> Result<bool, store::Error> {
    let performing = busy.effects();
    if performing.len() >= EFFECTS_AT_ONCE {
        return Ok(false);
    }
    let (kinds, only) = context.settings.duties.effects();
    if kinds.is_empty() {
        return Ok(false);
    }
    let claimed = context.store.claim_effect(context.holder, &performing, &kinds, only);
    let Some(effect) = claimed.await? else {
        return Ok(false);
    };
    let entry = busy.enter(What::Effect(effect.id));
    let context = context.clone();
    context.under_way.clone().spawn(async move {
        effects::perform(&context, effect).await;
        drop(entry);
        context.wake.committed();
    });
    Ok(true)
}

async fn claim_merges(context: &Context, busy: &Busy, gates: &Gates) -> Result<bool, store::Error> {
    let (merging, _claiming) = busy.merging().await;
    let free = MERGERS_AT_ONCE.saturating_sub(merging.len());
    if free == 0 {
        return Ok(false);
    }
    let left_alone = [merging, context.troubles.resting()].concat();
    let mut any = false;
    for run in context
        .store
        .merge_targets(context.holder, &left_alone)
        .await?
        .into_iter()
        .take(free)
    {
        let Some(lock) = BranchLock::take(context, run).await? else {
            continue;
        };
        any = true;
        let entry = busy.enter(What::Merging(run));
        let (context, gates) = (context.clone(), gates.clone());
        context.under_way.clone().spawn(async move {
            merge::work_queue(&context, &gates, run, lock).await;
            drop(entry);
            context.wake.committed();
        });
    }
    Ok(any)
}

/// Stops workers whose task was taken away elsewhere (a cancel asked of another process, a lease that ran out while
/// this process was held up), and takes up tasks that are held here with nobody at work on them.
async fn compare(context: &Context) -> Result<(), store::Error> {
    // Read before the question: what is entered from here on is not in its answer.
    let working = context.working.claims();
    let held = context.store.held_tasks(context.holder).await?;
    let claims: HashSet<Claim> = held.iter().map(|task| (task.task, task.fence)).collect();
    for claim in working.into_iter().filter(|claim| !claims.contains(claim)) {
        context.working.stop(claim);
    }
    for task in held
        .into_iter()
        .filter(|task| !context.working.has((task.task, task.fence)))
    {
        let input = Input::ProcessLost {
            fence: task.fence,
            progressed: task.progressed,
        };
        match context.step(task.run, Some(task.task), input, async |_| Ok(())).await {
            Ok(()) => {
                tracing::warn!(run = %task.run, task = %task.task, "a task was held with nobody at work on it; it can be claimed again")
            }
            // It ended between the question and now.
            Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}
