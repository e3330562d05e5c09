//! Claims what can be done and starts it: tasks into free slots, effects, and a merger for each branch with a
//! queue. Claims only what has a free place: nothing is fetched ahead.
//!
//! Nothing else in the process claims, so what the database says is held here and nobody here works on was lost on
//! the way (an answer that never came, a panic), and is taken up again.

use crate::{
    effects,
    engine::Engine,
    merge,
    settings::Duties,
    step::StepError,
    working::{Claim, Place},
};
use domain::{RunId, effect::Effect, event::Event, task::TaskState};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use store::claim::Claimed;

/// Effects performed here at one time.
const EFFECTS_AT_ONCE: usize = 8;
/// Branches merged onto here at one time. What takes time in a merge has limits of its own: checks, calls to models.
const MERGERS_AT_ONCE: usize = 64;
/// How often what runs here is compared with what the database says.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Effects and merges that run here.
#[derive(Clone, Default)]
pub(crate) struct Busy {
    inner: Arc<Mutex<UnderWay>>,
    /// Held while merges are claimed, and by whoever must know that none is for a moment.
    claiming: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct UnderWay {
    effects: HashSet<i64>,
    merging: HashSet<RunId>,
}

/// One of them; over when this is dropped, by a panic, too.
struct Entry {
    busy: Busy,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Effect(i64),
    Merging(RunId),
}

impl Busy {
    /// The runs whose branches are merged onto here. None is added while the guard is held.
    pub(crate) async fn merging(&self) -> (Vec<RunId>, tokio::sync::MutexGuard<'_, ()>) {
        let claiming = self.claiming.lock().await;
        let merging = self.with(|under_way| under_way.merging.iter().copied().collect());
        (merging, claiming)
    }

    fn with<T>(&self, look: impl FnOnce(&mut UnderWay) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, what: What) -> Entry {
        self.with(|under_way| match what {
            What::Effect(effect) => under_way.effects.insert(effect),
            What::Merging(run) => under_way.merging.insert(run),
        });
        Entry {
            busy: self.clone(),
            what,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.busy.with(|under_way| match self.what {
            What::Effect(effect) => under_way.effects.remove(&effect),
            What::Merging(run) => under_way.merging.remove(&run),
        });
    }
}

/// Runs until the engine is drained.
pub(crate) async fn dispatch(engine: Engine) {
    let busy = engine.parts.busy.clone();
    let mut tick = engine.parts.wake.watch_work();
    let poll = engine.parts.settings.poll;
    let mut compared = Instant::now();
    while !engine.parts.drain.is_cancelled() {
        tick.mark_unchanged();
        let mut claimed = false;
        if engine.parts.heartbeat.holds() && engine.disk_has_room() {
            match claim(&engine, &busy).await {
                Ok(some) => claimed = some,
                Err(error) => tracing::warn!(%error, "nothing could be claimed; it is tried again"),
            }
        }
        if compared.elapsed() >= COMPARE_EVERY {
            compared = Instant::now();
            if let Err(error) = compare(&engine).await {
                tracing::debug!(%error, "what runs here is compared with the database later");
            }
        }
        if !claimed {
            // A wake, the next poll and the drain all lead to another look.
            tokio::select! {
                _ = tick.changed() => {}
                () = tokio::time::sleep(poll) => {}
                () = engine.parts.drain.cancelled() => {}
            }
        }
    }
}

/// Claims a round; `true` if there was anything, so that there may be more.
async fn claim(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let tasks = claim_tasks(engine).await?;
    let effects = claim_effects(engine, busy).await?;
    let merges = claim_merges(engine, busy).await?;
    Ok(tasks || effects || merges)
}

async fn claim_tasks(engine: &Engine) -> Result<bool, store::Error> {
    let parts = &engine.parts;
    let slots = parts.settings.slots as usize;
    let working = parts.working.count();
    telemetry::task::worker_slots(working as i64, slots.saturating_sub(working) as i64);
    if working >= slots || parts.troubles.rests_from_tasks() {
        return Ok(false);
    }
    let claimed = parts.store.claim(parts.holder, (slots - working) as i64).await?;
    let any = !claimed.is_empty();
    for task in claimed {
        telemetry::task::transition(Some(TaskState::Ready), TaskState::Active);
        // Entered before anything else happens, so that whoever takes the task away finds its worker.
        let place = parts.working.enter((task.task, task.fence), parts.drain.child_token());
        parts.under_way.spawn(work(engine.clone(), task, place));
    }
    if any {
        parts.wake.committed();
    }
    Ok(any)
}

async fn work(engine: Engine, task: Claimed, place: Place) {
    effects::work::perform(&engine, task, &place.cancel).await;
    drop(place);
    engine.parts.wake.committed();
}

async fn claim_effects(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let performing: Vec<i64> = busy.with(|under_way| under_way.effects.iter().copied().collect());
    if performing.len() >= EFFECTS_AT_ONCE {
        return Ok(false);
    }
    let without: &[&str] = match engine.parts.settings.duties {
        Duties::All => &[],
        Duties::WithoutWorkspaces | Duties::None => &Effect::AT_THE_SERVER,
    };
    let Some(effect) = engine
        .parts
        .store
        .claim_effect(engine.parts.holder, &performing, without)
        .await?
    else {
        return Ok(false);
    };
    let entry = busy.enter(What::Effect(effect.id));
    let engine = engine.clone();
    engine.parts.under_way.clone().spawn(async move {
        effects::perform(&engine, effect).await;
        drop(entry);
        engine.parts.wake.committed();
    });
    Ok(true)
}

async fn claim_merges(engine: &Engine, busy: &Busy) -> Result<bool, store::Error> {
    let parts = &engine.parts;
    let (merging, _claiming) = busy.merging().await;
    let free = MERGERS_AT_ONCE.saturating_sub(merging.len());
    if free == 0 {
        return Ok(false);
    }
    let left_alone = [merging, parts.troubles.resting()].concat();
    let mut any = false;
    for run in parts
        .store
        .merge_targets(parts.holder, &left_alone)
        .await?
        .into_iter()
        .take(free)
    {
        let lease = store::merge::merge_lease(run);
        let Some(fence) = parts.store.take_lease(&lease, parts.holder).await? else {
            continue;
        };
        any = true;
        let entry = busy.enter(What::Merging(run));
        let engine = engine.clone();
        parts.under_way.spawn(async move {
            merge::work_queue(&engine, run, &lease, fence).await;
            drop(entry);
            engine.parts.wake.committed();
        });
    }
    Ok(any)
}

/// Stops workers whose task was taken away elsewhere (a cancel asked of another process, a lease that ran out while
/// this process was held up), and takes up tasks that are held here with nobody at work on them.
async fn compare(engine: &Engine) -> Result<(), store::Error> {
    let parts = &engine.parts;
    // Read before the question: what is entered from here on is not in its answer.
    let working = parts.working.claims();
    let held = parts.store.held_tasks(parts.holder).await?;
    let claims: HashSet<Claim> = held.iter().map(|task| (task.task, task.fence)).collect();
    for claim in working.into_iter().filter(|claim| !claims.contains(claim)) {
        parts.working.stop(claim);
    }
    for task in held
        .into_iter()
        .filter(|task| !parts.working.has((task.task, task.fence)))
    {
        let event = Event::ProcessLost {
            fence: task.fence,
            progressed: task.progressed,
        };
        match engine.step(task.run, Some(task.task), event, async |_| Ok(())).await {
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
