//! Claims what can be done and starts it: tasks into free slots, effects, and a merger for each branch with a
//! queue. Claims only what has a free place: nothing is fetched ahead.

use crate::{effects, engine::Engine, merge};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use domain::RunId;

/// Effects performed here at one time.
const EFFECTS_AT_ONCE: usize = 8;
/// Branches merged onto here at one time.
const MERGERS_AT_ONCE: usize = 4;

/// What runs here, by kind.
#[derive(Clone, Default)]
struct Busy {
    inner: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    working: usize,
    effects: usize,
    merging: HashSet<RunId>,
}

impl Busy {
    fn with<T>(&self, use_counts: impl FnOnce(&mut Counts) -> T) -> T {
        use_counts(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs until the engine is drained.
pub(crate) async fn dispatch(engine: Engine) {
    let busy = Busy::default();
    let mut tick = engine.parts.wake.watch();
    let poll = engine.parts.settings.poll;
    while !engine.parts.drain.is_cancelled() {
        tick.mark_unchanged();
        let mut claimed = false;
        if engine.parts.heartbeat.holds() && disk_has_room(&engine) {
            match claim(&engine, &busy).await {
                Ok(some) => claimed = some,
                Err(error) => tracing::warn!(%error, "nothing could be claimed; it is tried again"),
            }
        }
        if !claimed {
            let woken = tokio::time::timeout(poll, tick.changed());
            // A wake, the next poll and the drain all lead to another look.
            drop(engine.parts.drain.run_until_cancelled(woken).await);
        }
    }
}

/// Claims a round; `true` if there was anything, so that there may be more.
async fn claim(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let tasks = claim_tasks(engine, busy).await?;
    let effects = claim_effects(engine, busy).await?;
    let merges = claim_merges(engine, busy).await?;
    Ok(tasks || effects || merges)
}

async fn claim_tasks(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let slots = engine.parts.settings.slots as usize;
    let working = busy.with(|counts| counts.working);
    telemetry::task::worker_slots(working as i64, slots.saturating_sub(working) as i64);
    if working >= slots {
        return Ok(false);
    }
    let claimed = engine.parts.store.claim(engine.parts.holder, (slots - working) as i64).await?;
    let any = !claimed.is_empty();
    for task in claimed {
        busy.with(|counts| counts.working += 1);
        telemetry::task::transition(Some(domain::task::TaskState::Ready), domain::task::TaskState::Active);
        let (engine, done) = (engine.clone(), busy.clone());
        engine.parts.under_way.clone().spawn(async move {
            effects::work::perform(&engine, task).await;
            done.with(|counts| counts.working -= 1);
            engine.parts.wake.committed();
        });
    }
    if any {
        engine.parts.wake.committed();
    }
    Ok(any)
}

async fn claim_effects(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    if busy.with(|counts| counts.effects) >= EFFECTS_AT_ONCE {
        return Ok(false);
    }
    let Some(effect) = engine.parts.store.claim_effect(engine.parts.holder).await? else {
        return Ok(false);
    };
    busy.with(|counts| counts.effects += 1);
    let (engine, done) = (engine.clone(), busy.clone());
    engine.parts.under_way.clone().spawn(async move {
        effects::perform(&engine, effect).await;
        done.with(|counts| counts.effects -= 1);
        engine.parts.wake.committed();
    });
    Ok(true)
}

async fn claim_merges(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let mut any = false;
    for run in engine.parts.store.merge_targets().await? {
        if busy.with(|counts| counts.merging.len() >= MERGERS_AT_ONCE || counts.merging.contains(&run)) {
            continue;
        }
        let lease = store::merge::merge_lease(run);
        let Some(fence) = engine.parts.store.take_lease(&lease, engine.parts.holder).await? else {
            continue;
        };
        any = true;
        busy.with(|counts| counts.merging.insert(run));
        let (engine, done) = (engine.clone(), busy.clone());
        engine.parts.under_way.clone().spawn(async move {
            merge::work_queue(&engine, run, &lease, fence).await;
            done.with(|counts| counts.merging.remove(&run));
            engine.parts.wake.committed();
        });
    }
    Ok(any)
}

/// Whether the disk has more room than the floor: a full disk is no reason to lose work, so nothing new begins.
fn disk_has_room(engine: &Engine) -> bool {
    let floor = engine.parts.settings.disk_floor_bytes;
    let free = rustix::fs::statvfs(engine.parts.layout.root()).map(|disk| disk.f_bavail * disk.f_frsize);
    match free {
        Ok(free) if free < floor => {
            tracing::warn!(free, floor, "the disk is below its floor (disk_floor_bytes); nothing new is begun until there is room");
            false
        }
        Ok(_) | Err(_) => true,
    }
}
