//! From a checked plan to rows: who waits for whom, and who goes first.

use crate::{ids::TaskKey, plan::PlanDocument, task::TaskState};
use std::collections::BTreeMap;

/// A task as it is first saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its name within the run.
    pub key: TaskKey,
    /// `Ready` where it waits for nothing, else `Planned`.
    pub state: TaskState,
    /// How many parents it has.
    pub pending: i64,
    /// The number of tasks on the longest chain from here to the end: the longest remaining path goes first.
    pub priority: i64,
    /// Its parents.
    pub parents: Vec<TaskKey>,
}

/// The rows of a plan, in the plan's order. The plan has no cycles and no unknown keys: its checks saw to that.
pub fn rows(plan: &PlanDocument) -> Vec<NewTask> {
    let below = chain_below(plan);
    plan.tasks
        .iter()
        .map(|task| NewTask {
            key: task.key.clone(),
            state: if task.depends_on.is_empty() {
                TaskState::Ready
            } else {
                TaskState::Planned
            },
            pending: task.depends_on.len() as i64,
            priority: below.get(&task.key).copied().unwrap_or(1),
            parents: task
                .depends_on
                .iter()
                .map(|dependency| dependency.key.clone())
                .collect(),
        })
        .collect()
}

/// How many tasks the longest chain of the plan has.
pub fn levels(plan: &PlanDocument) -> u32 {
    chain_below(plan).values().copied().max().unwrap_or(0) as u32
}

/// For each task the number of tasks on the longest chain from it to a task that nothing waits for.
///
/// Relaxed as often as there are tasks, so it ends on any input.
fn chain_below(plan: &PlanDocument) -> BTreeMap<TaskKey, i64> {
    let mut length: BTreeMap<TaskKey, i64> = plan.tasks.iter().map(|task| (task.key.clone(), 1)).collect();
    for _ in 0..plan.tasks.len() {
        let mut changed = false;
        for task in &plan.tasks {
            let wanted = length.get(&task.key).copied().unwrap_or(1) + 1;
            for dependency in &task.depends_on {
                if let Some(own) = length.get_mut(&dependency.key)
                    && *own < wanted
                {
                    *own = wanted;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    length
}
