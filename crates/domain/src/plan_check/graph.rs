//! The graph of a plan, by the tasks' places in it.

use crate::plan::PlanDocument;
use std::collections::{BTreeMap, BTreeSet};

/// For each task the places of those it waits for. Edges to unknown tasks are left out.
pub(super) type Parents = Vec<BTreeSet<usize>>;

pub(super) fn places(plan: &PlanDocument) -> BTreeMap<&str, usize> {
    plan.tasks
        .iter()
        .enumerate()
        .map(|(index, task)| (task.key.0.as_str(), index))
        .collect()
}

/// The edges that the document names.
pub(super) fn named_parents(plan: &PlanDocument) -> Parents {
    let places = places(plan);
    plan.tasks
        .iter()
        .map(|task| {
            task.depends_on
                .iter()
                .filter_map(|dependency| places.get(dependency.key.0.as_str()).copied())
                .collect()
        })
        .collect()
}

/// Parents before children, in the plan's order where there is a choice; the error is a cycle, each task waiting
/// for the next and the last for the first.
pub(super) fn order(parents: &Parents) -> Result<Vec<usize>, Vec<usize>> {
    let mut placed = vec![false; parents.len()];
    let mut order = Vec::with_capacity(parents.len());
    while order.len() < parents.len() {
        let next =
            (0..parents.len()).find(|task| !placed[*task] && parents[*task].iter().all(|parent| placed[*parent]));
        match next {
            Some(task) => {
                placed[task] = true;
                order.push(task);
            }
            None => return Err(cycle_among(parents, &placed)),
        }
    }
    Ok(order)
}

/// Every task that could not be placed waits for another such task, so following them must come back.
fn cycle_among(parents: &Parents, placed: &[bool]) -> Vec<usize> {
    let mut walk: Vec<usize> = Vec::new();
    let mut task = placed.iter().position(|placed| !placed).unwrap_or(0);
    loop {
        if let Some(start) = walk.iter().position(|seen| *seen == task) {
            return walk.split_off(start);
        }
        walk.push(task);
        match parents[task].iter().find(|parent| !placed[**parent]) {
            Some(parent) => task = *parent,
            None => return walk,
        }
    }
}

/// The keys of the longest chain, first task first.
pub(super) fn longest_chain(plan: &PlanDocument) -> Vec<String> {
    let parents = named_parents(plan);
    let Ok(order) = order(&parents) else {
        return Vec::new();
    };
    let mut length = vec![1usize; parents.len()];
    let mut before = vec![None; parents.len()];
    for task in order {
        for &parent in &parents[task] {
            if length[parent] + 1 > length[task] {
                length[task] = length[parent] + 1;
                before[task] = Some(parent);
            }
        }
    }
    let mut at = (0..parents.len()).max_by_key(|task| length[*task]);
    let mut chain = Vec::new();
    while let Some(task) = at {
        chain.push(plan.tasks[task].key.0.clone());
        at = before[task];
    }
    chain.reverse();
    chain
}
