//! Facts about the decisions, over random graphs and random, stale and repeated inputs.

mod world;

use super::*;
use crate::{
    ids::{CommitId, Fence, MergeId},
    merge::{Answer, MergeEnd},
    profile::Change,
    run::{Reason, ReasonCode, RunState},
    task::{AttemptEnd, TaskState},
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use world::{Graph, World, graph, planned, prepared, world_holds};

/// A person asks for the delivery, without more consent than before.
const DELIVER_ASKED: Input = Input::DeliveryRequested {
    allow_integrity_flags: false,
};

/// What the outside world does next. Places and fences are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Claim(usize),
    Ended(usize, Stale, usize),
    Lost(usize, Stale, bool),
    Intend(usize),
    Merged(usize, usize),
    /// A person who was asked sends the work back, or gives it up.
    Answered(usize, bool),
    Cancel,
    FailRun,
    Deliver,
    PrepareAgain,
    PlanAgain,
    /// The task loses a parent that it has really lost.
    LoseAgain(usize),
}

/// By how much an input's fence is behind.
type Stale = i64;

fn step() -> impl Strategy<Value = Step> {
    let place = 0..8usize;
    let stale = prop_oneof![5 => Just(0i64), 1 => 1..3i64];
    prop_oneof![
        12 => place.clone().prop_map(Step::Claim),
        12 => (place.clone(), stale.clone(), 0..6usize).prop_map(|(a, b, c)| Step::Ended(a, b, c)),
        2 => (place.clone(), stale, prop::bool::ANY).prop_map(|(a, b, c)| Step::Lost(a, b, c)),
        3 => place.clone().prop_map(Step::Intend),
        12 => (place.clone(), 0..5usize).prop_map(|(a, b)| Step::Merged(a, b)),
        2 => (place.clone(), prop::bool::ANY).prop_map(|(a, b)| Step::Answered(a, b)),
        1 => Just(Step::Cancel),
        1 => Just(Step::FailRun),
        2 => Just(Step::Deliver),
        1 => Just(Step::PrepareAgain),
        1 => Just(Step::PlanAgain),
        1 => place.prop_map(Step::LoseAgain),
    ]
}

fn commit() -> CommitId {
    CommitId("1".repeat(40))
}

fn reason(code: ReasonCode) -> Reason {
    Reason::new(code, "it did not work")
}

fn attempt_end(kind: usize) -> AttemptEnd {
    match kind {
        0 => AttemptEnd::Submitted { commit: commit() },
        1 => AttemptEnd::Unchanged,
        2 => AttemptEnd::Failed {
            reason: reason(ReasonCode::Limit),
        },
        3 => AttemptEnd::Unrecoverable {
            reason: reason(ReasonCode::Worker),
        },
        4 => AttemptEnd::Released,
        _ => AttemptEnd::Submitted { commit: commit() },
    }
}

fn merge_end(kind: usize) -> MergeEnd {
    match kind {
        0 => MergeEnd::Rejected {
            reason: reason(ReasonCode::Gate),
        },
        1 => MergeEnd::Error {
            reason: reason(ReasonCode::Internal),
        },
        _ => MergeEnd::Landed { commit: commit() },
    }
}

fn answered(back: bool) -> Input {
    let words = "see for yourself".to_owned();
    Input::PersonAnswered {
        merge: MergeId(1),
        answer: match back {
            true => Answer::SentBack { note: words },
            false => Answer::Abandoned { reason: words },
        },
        by: "Ann".into(),
    }
}

impl Step {
    fn take(&self, world: &mut World, graph: &Graph) {
        let count = world.tasks.len();
        let (task, input) = match self {
            Self::Claim(place) => return world.claim((place % count) as i64),
            Self::Intend(place) => {
                let task = (place % count) as i64;
                if world.tasks[&task].state == TaskState::Merging {
                    world.landing.insert(task);
                }
                return;
            }
            Self::Ended(place, stale, kind) => {
                let task = (place % count) as i64;
                let fence = Fence(world.tasks[&task].fence.0 - stale);
                let end = attempt_end(*kind);
                (Some(task), Input::AttemptEnded { fence, end })
            }
            Self::Lost(place, stale, progressed) => {
                let task = (place % count) as i64;
                let fence = Fence(world.tasks[&task].fence.0 - stale);
                let progressed = *progressed;
                (Some(task), Input::ProcessLost { fence, progressed })
            }
            Self::Merged(place, kind) => {
                let task = (place % count) as i64;
                let end = match world.landing.contains(&task) {
                    true => MergeEnd::Landed { commit: commit() },
                    false => merge_end(*kind),
                };
                let merge = MergeId(task);
                (Some(task), Input::MergeEnded { merge, end })
            }
            Self::Answered(place, back) => {
                let task = (place % count) as i64;
                if world.landing.contains(&task) {
                    return;
                }
                (Some(task), answered(*back))
            }
            Self::Cancel => (None, Input::CancelRequested),
            Self::FailRun => {
                let reason = reason(ReasonCode::Limit);
                (None, Input::RunFailed { reason })
            }
            Self::Deliver => {
                let (commit, checkout) = (commit(), String::new());
                (None, Input::Delivered { commit, checkout })
            }
            Self::PrepareAgain => (None, prepared()),
            Self::PlanAgain => (None, planned(graph)),
            Self::LoseAgain(place) => {
                let task = (place % count) as i64;
                let lost = world.parents[&task].iter().find(|parent| {
                    let state = world.tasks[*parent].state;
                    matches!(state, TaskState::Failed | TaskState::Cancelled)
                });
                let Some(parent) = lost else { return };
                let parent = world.tasks[parent].key.clone();
                (Some(task), Input::ParentLost { parent })
            }
        };
        step_holds(world, task, &input);
    }
}

/// Applies an input and checks what only the step itself can show.
fn step_holds(world: &mut World, task: Option<i64>, input: &Input) {
    let before = world.clone();
    let refused = world.apply(task, input).is_err();
    if refused {
        assert_eq!(before, *world, "a refused input changes nothing");
        return;
    }
    for (id, now) in &world.tasks {
        let Some(was) = before.tasks.get(id) else {
            continue;
        };
        assert!(now.fence >= was.fence, "a fence only grows");
        if was.state.is_final() {
            assert_eq!(now, was, "an ended task stays as it is");
        }
        if now.state == TaskState::Complete && was.state != TaskState::Complete {
            assert_eq!(task, Some(*id), "only its own input completes a task");
            assert!(completes(was, input), "{input:?} completed {was:?}");
        }
    }
    if before.run.state.is_final() {
        assert_eq!(before.run.state, world.run.state, "an ended run stays ended");
    }
    let repeated = world.clone();
    if world.apply(task, input).is_ok() {
        panic!("an input that was applied once is refused the second time: {input:?}");
    }
    assert_eq!(repeated, *world);
}

fn completes(was: &Task, input: &Input) -> bool {
    match input {
        Input::MergeEnded {
            end: MergeEnd::Landed { .. },
            ..
        } => was.state == TaskState::Merging,
        Input::AttemptEnded {
            end: AttemptEnd::Unchanged,
            fence,
        } => was.state == TaskState::Active && was.fence == *fence && was.change != Change::Required,
        _ => false,
    }
}

/// Lets every landing end: then nothing is open in an ended run.
fn drain(world: &mut World) {
    let merging: Vec<i64> = world.landing.iter().copied().collect();
    for task in merging {
        if world.tasks[&task].state == TaskState::Merging {
            let end = MergeEnd::Landed { commit: commit() };
            let merge = MergeId(task);
            step_holds(world, Some(task), &Input::MergeEnded { merge, end });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_rule_holds_after_every_step(graph in graph(), steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::planned(&graph);
        world_holds(&world);
        for step in &steps {
            step.take(&mut world, &graph);
            world_holds(&world);
        }
        let mut replayed = World::planned(&graph);
        for step in &steps {
            step.take(&mut replayed, &graph);
        }
        prop_assert_eq!(&world, &replayed, "a replay gives the same");
        if world.run.state.is_final() {
            drain(&mut world);
            prop_assert_eq!(world.run.open, 0, "every task of an ended run ends");
        }
    }

    #[test]
    fn work_that_always_succeeds_completes_the_run(graph in graph()) {
        let mut world = World::planned(&graph);
        for _ in 0..graph.parents.len() {
            for task in world.ids() {
                world.claim(task);
                Step::Ended(task as usize, 0, 0).take(&mut world, &graph);
                Step::Merged(task as usize, 2).take(&mut world, &graph);
            }
        }
        prop_assert_eq!(world.run.state, RunState::Delivering);
        prop_assert_eq!(world.effects.last(), Some(&Effect::Deliver { again: false }));
        Step::Deliver.take(&mut world, &graph);
        prop_assert_eq!(world.run.state, RunState::Complete);
    }
}

#[test]
fn a_refused_budget_ends_the_run() {
    let graph = Graph {
        parents: vec![BTreeSet::new(), BTreeSet::from([0])],
        changes: vec![Change::Required; 2],
    };
    let mut world = World::planned(&graph);
    world.claim(0);
    let end = AttemptEnd::Unrecoverable {
        reason: reason(ReasonCode::Budget),
    };
    let fence = Fence(1);
    world.apply(Some(0), &Input::AttemptEnded { fence, end }).unwrap();
    assert_eq!(world.run.state, RunState::Failed);
    assert_eq!(world.run.open, 0);
    assert_eq!(world.tasks[&1].state, TaskState::Cancelled);
}

#[test]
fn a_trouble_that_may_pass_is_waited_out_and_wrong_work_is_not() {
    let graph = Graph {
        parents: vec![BTreeSet::new()],
        changes: vec![Change::Required],
    };
    let waits = |code| {
        let mut world = World::planned(&graph);
        [1, 2].map(|fence| {
            world.claim(0);
            let (fence, reason) = (Fence(fence), reason(code));
            let end = AttemptEnd::Failed { reason };
            world.apply(Some(0), &Input::AttemptEnded { fence, end }).unwrap();
            world.tasks[&0].wait_s
        })
    };
    assert_eq!(waits(ReasonCode::Worker), [0, 0]);
    assert_eq!(waits(ReasonCode::Gate), [0, 0]);
    assert_eq!(waits(ReasonCode::Model), [2, 4]);
}

#[test]
fn a_run_that_could_not_be_handed_over_is_delivered_at_last_and_no_other_failed_one_is() {
    let graph = Graph {
        parents: vec![BTreeSet::new()],
        changes: vec![Change::Required],
    };
    let failed_with = |code| {
        let mut world = World::planned(&graph);
        world.claim(0);
        let (fence, end) = (Fence(1), attempt_end(0));
        world.apply(Some(0), &Input::AttemptEnded { fence, end }).unwrap();
        let (merge, end) = (MergeId(0), MergeEnd::Landed { commit: commit() });
        world.apply(Some(0), &Input::MergeEnded { merge, end }).unwrap();
        assert_eq!(world.run.state, RunState::Delivering);
        let reason = reason(code);
        world.apply(None, &Input::RunFailed { reason }).unwrap();
        world
    };
    let mut world = failed_with(ReasonCode::Delivery);
    world.apply(None, &DELIVER_ASKED).unwrap();
    assert_eq!((world.run.state, &world.run.reason), (RunState::Delivering, &None));
    assert_eq!(world.effects.last(), Some(&Effect::Deliver { again: false }));
    // Under way already.
    assert!(matches!(world.apply(None, &DELIVER_ASKED), Err(Refusal::Stale(_))));

    let mut world = failed_with(ReasonCode::Limit);
    assert!(matches!(world.apply(None, &DELIVER_ASKED), Err(Refusal::Illegal(_))));
    let mut world = World::planned(&graph);
    assert!(matches!(world.apply(None, &DELIVER_ASKED), Err(Refusal::Illegal(_))));
}

#[test]
fn what_a_person_sends_back_is_tried_once_more_and_counts_as_no_failure() {
    let graph = Graph {
        parents: vec![BTreeSet::new()],
        changes: vec![Change::Required],
    };
    let mut world = World::planned(&graph);
    world.run.tries.failures = 1;
    world.claim(0);
    let end = attempt_end(0);
    let fence = Fence(1);
    world.apply(Some(0), &Input::AttemptEnded { fence, end }).unwrap();
    let asked = Input::PersonAsked {
        merge: MergeId(1),
        conflicts: vec!["a.txt".into()],
        why: "nobody decided it".into(),
    };
    world.apply(Some(0), &asked).unwrap();
    assert_eq!(world.tasks[&0].state, TaskState::Merging);
    world.apply(Some(0), &answered(true)).unwrap();
    assert_eq!((world.tasks[&0].state, world.tasks[&0].failures), (TaskState::Ready, 0));
    assert!(
        world.apply(Some(0), &answered(false)).is_err(),
        "nobody is asked any more"
    );
}
