//! Ready tasks: the one rule that lives in SQL, beside a model of it.

use crate::place::Place;
use domain::{Fence, RunId, TaskId};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{Holder, claim::Claimed};

/// A run of the model, in the order of their making.
#[derive(Clone, Debug)]
struct Run {
    max_active: i64,
    /// A multiple of a quarter, so that the database and the model agree to the bit.
    vtime: i64,
    tasks: Vec<Task>,
}

#[derive(Clone, Debug)]
struct Task {
    priority: i64,
    /// Ready, but not to be claimed before an hour has passed.
    waits: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Claim {
        slots: i64,
    },
    /// The oldest task that is held goes back: to be claimed at once, or not before an hour has passed.
    GiveBack {
        waits: bool,
    },
    /// The oldest task that is held ends.
    End,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let task = (0..4i64, prop::bool::weighted(0.2)).prop_map(|(priority, waits)| Task { priority, waits });
    let run = (1..4i64, 0..3i64, prop::collection::vec(task, 0..6));
    let run = run.prop_map(|(max_active, vtime, tasks)| Run {
        max_active,
        vtime,
        tasks,
    });
    prop::collection::vec(run, 1..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4i64).prop_map(|slots| Step::Claim { slots }),
        1 => prop::bool::ANY.prop_map(|waits| Step::GiveBack { waits }),
        2 => Just(Step::End),
    ];
    prop::collection::vec(step, 1..24)
}

/// What the claim statement does, without SQL.
struct Model {
    runs: Vec<(RunId, Run)>,
    /// Tasks that could be claimed, by run: priority and id.
    ready: Vec<BTreeMap<TaskId, (i64, bool)>>,
    /// Tasks that are held, oldest claim first, with their run's place.
    held: Vec<(TaskId, usize)>,
    fences: BTreeMap<TaskId, i64>,
    priorities: BTreeMap<TaskId, i64>,
}

impl Model {
    fn claim(&mut self, slots: i64) -> Vec<(TaskId, Fence)> {
        let active = |place: usize| self.held.iter().filter(|(_, run)| *run == place).count() as i64;
        let room = |place: usize| self.runs[place].1.max_active - active(place);
        let has_work = |place: usize| self.ready[place].values().any(|(_, waits)| !waits);
        let candidates = (0..self.runs.len()).filter(|place| room(*place) > 0 && has_work(*place));
        let Some(chosen) = candidates.min_by_key(|place| (self.runs[*place].1.vtime, *place)) else {
            return Vec::new();
        };
        let room = room(chosen);
        let mut order: Vec<(i64, TaskId)> = self.ready[chosen]
            .iter()
            .filter(|(_, (_, waits))| !waits)
            .map(|(id, (priority, _))| (-priority, *id))
            .collect();
        order.sort();
        let taken: Vec<TaskId> = order
            .into_iter()
            .take(slots.min(room) as usize)
            .map(|(_, id)| id)
            .collect();
        let mut claimed = Vec::new();
        for task in taken {
            self.ready[chosen].remove(&task);
            self.held.push((task, chosen));
            let fence = self.fences.entry(task).or_default();
            *fence += 1;
            claimed.push((task, Fence(*fence)));
        }
        claimed
    }
}

async fn made(place: &Place, runs: &[Run]) -> Model {
    let mut model = Model {
        runs: Vec::new(),
        ready: Vec::new(),
        held: Vec::new(),
        fences: BTreeMap::new(),
        priorities: BTreeMap::new(),
    };
    for run in runs {
        let id = place.run(run.max_active, run.vtime as f64 / 4.0).await;
        let mut ready = BTreeMap::new();
        for (number, task) in run.tasks.iter().enumerate() {
            let wait_s = if task.waits { 3_600 } else { 0 };
            let row = place.task(id, &format!("t{number}"), task.priority, wait_s).await;
            ready.insert(row, (task.priority, task.waits));
            model.priorities.insert(row, task.priority);
        }
        model.runs.push((id, run.clone()));
        model.ready.push(ready);
    }
    model
}

async fn agrees(runs: Vec<Run>, steps: Vec<Step>) {
    let place = Place::new().await;
    let holder = place.process("p").await;
    let mut model = made(&place, &runs).await;
    for step in steps {
        match step {
            Step::Claim { slots } => {
                let claimed = place.database.store().claim(holder, slots, &[]).await.unwrap();
                let claimed: Vec<_> = claimed.iter().map(|task| (task.task, task.fence)).collect();
                assert_eq!(claimed, model.claim(slots));
            }
            Step::GiveBack { .. } | Step::End if model.held.is_empty() => {}
            Step::GiveBack { waits } => {
                let (task, run) = model.held.remove(0);
                place.give_back(model.runs[run].0, task, waits).await;
                model.ready[run].insert(task, (model.priorities[&task], waits));
            }
            Step::End => {
                let (task, run) = model.held.remove(0);
                place.end(model.runs[run].0, task).await;
            }
        }
        assert_eq!(place.wrong_counters().await, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_statement_claims_what_the_model_claims(runs in runs(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(agrees(runs, steps));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn eight_claimers_never_take_the_same_task_nor_pass_a_limit() {
    let place = Arc::new(Place::new().await);
    let mut limits = BTreeMap::new();
    for number in 0..5 {
        let limit = 2 + number % 3;
        let run = place.run(limit, number as f64).await;
        limits.insert(run, limit);
        for task in 0..30 {
            place
                .task(
                    run,
                    &format!("t{task}"),
                    task % 4,
                    if task % 10 == 0 { 3_600 } else { 0 },
                )
                .await;
        }
    }
    let mut claimers = Vec::new();
    for number in 0..8 {
        let holder = place.process(&format!("p{number}")).await;
        claimers.push(tokio::spawn(claim_and_end(place.clone(), holder, limits.clone())));
    }
    let mut taken = BTreeSet::new();
    for claimer in claimers {
        for task in claimer.await.unwrap() {
            assert!(taken.insert(task.task), "{} was claimed twice", task.task);
            assert_eq!((task.fence, task.attempt), (Fence(1), 1));
        }
    }
    // All but those that wait for their time.
    assert_eq!(taken.len(), 5 * 27);
    assert_eq!(place.wrong_counters().await, 0);
}

/// Claims and ends tasks until there are none, and looks at the limits while it holds some.
async fn claim_and_end(place: Arc<Place>, holder: Holder, limits: BTreeMap<RunId, i64>) -> Vec<Claimed> {
    let mut all = Vec::new();
    let mut empty = 0;
    while empty < 30 {
        let claimed = place.database.store().claim(holder, 3, &[]).await.unwrap();
        let Some(first) = claimed.first() else {
            empty += 1;
            tokio::task::yield_now().await;
            continue;
        };
        empty = 0;
        assert!(claimed.iter().all(|task| task.run == first.run), "one claim, one run");
        assert!(
            place.active(first.run).await <= limits[&first.run],
            "a limit was passed"
        );
        for task in &claimed {
            place.end(task.run, task.task).await;
        }
        all.extend(claimed);
    }
    all
}

#[tokio::test]
async fn what_a_living_process_holds_is_never_lost_to_itself() {
    let place = Place::new().await;
    let (own, other) = (place.process("own").await, place.process("other").await);
    let run = place.run(2, 0.0).await;
    let task = place.task(run, "t", 1, 0).await;
    let store = place.database.store();
    assert_eq!(store.claim(own, 1, &[]).await.unwrap().len(), 1);
    // The database was away for longer than a lease: nobody could say that they live.
    place.silent(own).await;
    assert!(store.lost_tasks(own).await.unwrap().is_empty());
    assert_eq!(store.held_tasks(own).await.unwrap()[0].task, task);
    let lost = store.lost_tasks(other).await.unwrap();
    assert_eq!(
        lost.iter().map(|lost| (lost.task, lost.fence)).collect::<Vec<_>>(),
        [(task, Fence(1))]
    );
    // Its next life is another holder.
    let next = place.process("own").await;
    assert_eq!(store.lost_tasks(next).await.unwrap().len(), 1);
    assert!(store.held_tasks(next).await.unwrap().is_empty());
}
