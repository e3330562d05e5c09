//! The rows of one run in memory, what a store does around a decision, and what is true of them at any time.

use crate::{
    effect::Effect,
    event::Event,
    ids::{CommitId, Fence, RunId, TaskId, TaskKey},
    input::Input,
    plan::{Dependency, PlanDocument, Why},
    profile::Change,
    run::{Check, CheckSource, Run, RunState, Tries},
    schedule::NewTask,
    task::{Child, Task, TaskState},
    transition::{Refusal, Snapshot, transition},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(super) const TRIES: Tries = Tries {
    failures: 3,
    crashes: 2,
};

/// The rows of one run, and what a store does around a decision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct World {
    pub(super) run: Run,
    pub(super) tasks: BTreeMap<i64, Task>,
    pub(super) parents: BTreeMap<i64, BTreeSet<i64>>,
    /// Tasks whose landing intent is written.
    pub(super) landing: BTreeSet<i64>,
    pub(super) events: Vec<(Option<TaskId>, Event)>,
    pub(super) effects: Vec<Effect>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            run: Run {
                id: RunId(Uuid::nil()),
                state: RunState::Planning,
                open: 0,
                active: 0,
                ready: 0,
                failed: 0,
                reason: None,
                base: None,
                tries: TRIES,
            },
            tasks: BTreeMap::new(),
            parents: BTreeMap::new(),
            landing: BTreeSet::new(),
            events: Vec::new(),
            effects: Vec::new(),
        }
    }

    pub(super) fn planned(graph: &Graph) -> Self {
        let mut world = Self::new();
        world.apply(None, &prepared()).unwrap();
        world.apply(None, &planned(graph)).unwrap();
        world
    }

    pub(super) fn snapshot(&self, task: Option<i64>) -> Snapshot {
        let children = self
            .tasks
            .values()
            .filter(|child| task.is_some_and(|task| self.parents[&child.id.0].contains(&task)))
            .map(|child| Child {
                id: child.id,
                key: child.key.clone(),
                state: child.state,
                pending: child.pending,
            })
            .collect();
        Snapshot {
            run: self.run.clone(),
            task: task.map(|task| self.tasks[&task].clone()),
            children,
        }
    }

    /// One transaction: the decision, what follows from it, and the end of every open task where it asks for that.
    pub(super) fn apply(&mut self, task: Option<i64>, input: &Input) -> Result<(), Refusal> {
        let decision = transition(&self.snapshot(task), input)?;
        self.run = decision.run;
        for new in &decision.insert {
            self.insert(new, input);
        }
        for child in decision.children {
            let row = self.tasks.get_mut(&child.id.0).unwrap();
            (row.state, row.pending) = (child.state, child.pending);
        }
        if let Some(task) = decision.task {
            self.tasks.insert(task.id.0, task);
        }
        self.effects.extend(decision.effects);
        self.events.extend(decision.events);
        for (other, input) in decision.follow {
            match self.apply(Some(other.0), &input) {
                Ok(()) | Err(Refusal::Stale(_)) => {}
                Err(refusal) => panic!("what follows from a decision is legal: {refusal}"),
            }
        }
        if decision.cancel_open {
            for task in self.ids() {
                let landing = self.landing.contains(&task);
                let cancelled = self.apply(Some(task), &Input::TaskCancelled { landing });
                assert!(
                    !matches!(cancelled, Err(Refusal::Illegal(_))) || landing,
                    "only a landing is past cancelling"
                );
            }
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, new: &NewTask, input: &Input) {
        let Input::Planned { plan, changes, .. } = input else {
            panic!("only a plan makes tasks");
        };
        let place = |key: &TaskKey| plan.tasks.iter().position(|task| task.key == *key).unwrap();
        let id = place(&new.key) as i64;
        let task = Task {
            id: TaskId(id),
            key: new.key.clone(),
            state: new.state,
            pending: new.pending,
            fence: Fence(0),
            failures: 0,
            crashes: 0,
            resume: false,
            change: changes[id as usize],
            reason: None,
            wait_s: 0,
        };
        self.tasks.insert(id, task);
        let parents = new.parents.iter().map(|key| place(key) as i64).collect();
        self.parents.insert(id, parents);
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.tasks.keys().copied().collect()
    }

    /// The one rule that lives in SQL.
    pub(super) fn claim(&mut self, task: i64) {
        let row = self.tasks.get_mut(&task).unwrap();
        if row.state == TaskState::Ready && self.run.state == RunState::Running {
            row.state = TaskState::Active;
            row.fence.0 += 1;
            row.resume = false;
            row.wait_s = 0;
            self.run.ready -= 1;
            self.run.active += 1;
        }
    }

    pub(super) fn count(&self, state: TaskState) -> i64 {
        let tasks = self.tasks.values();
        tasks.filter(|task| task.state == state).count() as i64
    }
}

#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) parents: Vec<BTreeSet<usize>>,
    pub(super) changes: Vec<Change>,
}

pub(super) fn graph() -> impl Strategy<Value = Graph> {
    let change = prop::sample::select(&[Change::Required, Change::Optional, Change::None][..]);
    let node = (prop::collection::btree_set(0..8usize, 0..3), change);
    prop::collection::vec(node, 1..8).prop_map(|nodes| {
        let (mut parents, changes): (Vec<BTreeSet<usize>>, _) = nodes.into_iter().unzip();
        for (index, parents) in parents.iter_mut().enumerate() {
            parents.retain(|parent| *parent < index);
        }
        Graph { parents, changes }
    })
}

pub(super) fn prepared() -> Input {
    Input::Prepared {
        base: CommitId("0".repeat(40)),
        base_branch: "main".into(),
        check: Check {
            command: None,
            source: CheckSource::NotConfigured,
        },
    }
}

pub(super) fn planned(graph: &Graph) -> Input {
    let template = PlanDocument::single("do it", "coder", "").tasks.remove(0);
    let key = |index: usize| TaskKey(format!("t{index}"));
    let tasks = graph.parents.iter().enumerate().map(|(index, parents)| {
        let mut task = template.clone();
        task.key = key(index);
        task.depends_on = parents
            .iter()
            .map(|parent| Dependency {
                key: key(*parent),
                why: Why::Code,
            })
            .collect();
        task
    });
    let plan = PlanDocument {
        tasks: tasks.collect(),
        ..PlanDocument::default()
    };
    Input::Planned {
        plan: Box::new(plan),
        repairs: Vec::new(),
        changes: graph.changes.clone(),
    }
}

/// What is true between any two transactions.
pub(super) fn world_holds(world: &World) {
    let run = &world.run;
    let open = world.tasks.values().filter(|task| !task.state.is_final());
    assert_eq!(run.open, open.count() as i64, "open");
    assert_eq!(run.active, world.count(TaskState::Active), "active");
    assert_eq!(run.ready, world.count(TaskState::Ready), "ready");
    assert_eq!(run.failed, world.count(TaskState::Failed), "failed");
    for (id, task) in &world.tasks {
        let state_of = |parent: &i64| world.tasks[parent].state;
        let incomplete = world.parents[id]
            .iter()
            .filter(|parent| state_of(parent) != TaskState::Complete)
            .count() as i64;
        match task.state {
            TaskState::Planned => {
                assert_eq!(task.pending, incomplete, "pending of {}", task.key);
                assert!(incomplete > 0, "{} waits for nothing", task.key);
                assert!(!run.state.is_final(), "nothing waits once the run has ended");
            }
            TaskState::Cancelled => {}
            TaskState::Ready | TaskState::Active | TaskState::Merging | TaskState::Complete | TaskState::Failed => {
                assert_eq!(incomplete, 0, "{} began too early", task.key)
            }
        }
        let spent = task.failures >= TRIES.failures || task.crashes >= TRIES.crashes;
        assert!(!spent || task.state == TaskState::Failed, "{task:?}");
        assert!(task.failures <= TRIES.failures && task.crashes <= TRIES.crashes);
    }
    let under_way = run.ready + run.active + world.count(TaskState::Merging);
    match run.state {
        RunState::Running => assert!(under_way > 0, "the run is stuck"),
        RunState::Delivering | RunState::Complete => {
            assert_eq!(world.count(TaskState::Complete), world.tasks.len() as i64);
        }
        RunState::Failed | RunState::Cancelled => {
            assert_eq!(run.open, world.count(TaskState::Merging), "only landings remain");
            assert!(run.reason.is_some(), "an end without success has a reason");
        }
        RunState::Planning => panic!("the run was planned"),
    }
}
