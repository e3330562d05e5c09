//! Claims and starts work: tasks into free worker slots, effects, and a merger for each branch with a queue. Claims only
//! what has free capacity: nothing is claimed ahead.
//!
//! Nothing else in the process claims. So a claim in the database that nothing here works on was lost (its answer never
//! came, or a panic), and is released.

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

/// Effects that run here at one time.
const EFFECTS_AT_ONCE: usize = 8;
/// Branches with a running merger at one time. The slow parts of a merge, checks and model calls, have their own limits.
const MERGERS_AT_ONCE: usize = 64;
/// The time between two comparisons of the claims with what runs here.
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
        if heartbeat.holds() && disk.has_space() {
            match claim(&context, &busy, &gates).await {
                Ok(some) => claimed = some,
                Err(error) => tracing::warn!(%error, "Could not claim work; retrying"),
            }
        }
        if compared.elapsed() >= COMPARE_EVERY {
            compared = Instant::now();
            if let Err(error) = compare(&context).await {
                tracing::debug!(%error, "Could not compare the claims with what runs here; retrying");
            }
        }
        if !claimed {
            // A wake, the next poll or the drain continues the loop.
            tokio::select! {
                _ = tick.changed() => {}
                () = tokio::time::sleep(poll) => {}
                () = context.drain.cancelled() => {}
            }
        }
    }
}

/// Claims once; `true` if there was anything, because there may be more.
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
    if free == 0 || context.pauses.are_tasks_paused() {
        return Ok(false);
    }
    let full = match context.worker.uses_provider_slots() {
        true => context.models.full_providers(),
        false => Vec::new(),
    };
    if !full.is_empty() && context.store.show_blocked_on_providers(&full, free).await? {
        context.wake.progressed();
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
    let paused = [merging, context.pauses.paused_branches()].concat();
    let mut any = false;
    for run in context
        .store
        .merge_targets(context.holder, &paused)
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

/// Stops attempts whose task was taken away elsewhere (a cancel in another process, a lease that expired while this
/// process stood still), and releases tasks that are held here without an attempt.
async fn compare(context: &Context) -> Result<(), store::Error> {
    // Read before the query: attempts that start from now on are not in its result.
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
                tracing::warn!(run = %task.run, task = %task.task, "Released a task that was held without an attempt")
            }
            // It ended between the query and now.
            Err(StepError::Refused(_) | StepError::Unknown(_)) => {}
            Err(StepError::Store(error)) => return Err(error),
        }
    }
    Ok(())
}
