//! Repairs without guessing: edges that follow from the document itself.

use super::{
    Checked, Problems,
    globs::{self, is_literal},
    graph::{self, Parents},
};

use crate::{
    lock_files::is_lock_file,
    plan::{Dependency, PlanDocument, Why},
};
use std::collections::BTreeSet;

/// Files that only list their neighbours: shared as soon as two tasks want them.
const INDEXES: [&str; 7] = [
    "mod.rs",
    "__init__.py",
    "index.js",
    "index.mjs",
    "index.ts",
    "index.jsx",
    "index.tsx",
];

/// How many cycles are told at once.
const CYCLES: usize = 8;

/// The repaired plan; `None` where its graph has a cycle, which is then among the problems.
pub(super) fn repair(mut plan: PlanDocument, problems: &mut Problems) -> Option<Checked> {
    let mut repairs = Vec::new();
    drop_needless_edges(&mut plan, &mut repairs);
    complete_provides(&mut plan, &mut repairs);
    share_indexes(&mut plan, &mut repairs);
    let order = acyclic_order(&plan, problems)?;
    rebuild_edges(&mut plan, &order, &mut repairs);
    Some(Checked { plan, repairs })
}

fn drop_needless_edges(plan: &mut PlanDocument, repairs: &mut Vec<String>) {
    for task in &mut plan.tasks {
        let key = &task.key;
        let mut seen = BTreeSet::new();
        task.depends_on.retain(|dependency| {
            if dependency.key == *key {
                repairs.push(format!("task {key} no longer waits for itself"));
                return false;
            }
            let first = seen.insert(dependency.key.clone());
            if !first {
                repairs.push(format!("task {key} names its dependency on {} once", dependency.key));
            }
            first
        });
    }
}

fn complete_provides(plan: &mut PlanDocument, repairs: &mut Vec<String>) {
    for interface in &plan.interfaces {
        let provider = plan.tasks.iter_mut().find(|task| task.key == interface.provider);
        if let Some(task) = provider
            && !task.provides.contains(&interface.id)
        {
            task.provides.push(interface.id.clone());
            repairs.push(format!(
                "task {} provides interface {}, as the interface says",
                task.key, interface.id
            ));
        }
    }
}

/// Lock files, and indexes that several tasks own, become shared.
fn share_indexes(plan: &mut PlanDocument, repairs: &mut Vec<String>) {
    let owned: Vec<(usize, String)> = plan
        .tasks
        .iter()
        .enumerate()
        .flat_map(|(index, task)| task.paths.owns.iter().map(move |path| (index, path.clone())))
        .filter(|(_, path)| is_literal(path))
        .collect();
    for (index, path) in &owned {
        let name = globs::normal(path).rsplit('/').next().unwrap_or_default();
        let wanted_elsewhere = owned
            .iter()
            .any(|(other, same)| other != index && globs::normal(same) == globs::normal(path));
        let shared = is_lock_file(name) || (INDEXES.contains(&name) && wanted_elsewhere);
        if !shared {
            continue;
        }
        let task = &mut plan.tasks[*index];
        task.paths.owns.retain(|owned| owned != path);
        if !task.paths.shared.contains(path) {
            task.paths.shared.push(path.clone());
        }
        if !plan.shared_paths.contains(path) {
            plan.shared_paths.push(path.clone());
        }
        repairs.push(format!("task {} shares {path} rather than owning it", task.key));
    }
}

/// An order that respects the named edges and those that interfaces make, or a problem for each cycle.
fn acyclic_order(plan: &PlanDocument, problems: &mut Problems) -> Option<Vec<usize>> {
    let mut parents = graph::named_parents(plan);
    for (task, needed) in needed_parents(plan).into_iter().enumerate() {
        parents[task].extend(needed.into_iter().map(|(provider, _)| provider));
    }
    for found in 0..CYCLES {
        let cycle = match graph::order(&parents) {
            Ok(order) if found == 0 => return Some(order),
            Ok(_) => return None,
            Err(cycle) => cycle,
        };
        let (first, last) = (*cycle.first()?, *cycle.last()?);
        let mut keys: Vec<&str> = cycle.iter().map(|task| plan.tasks[*task].key.0.as_str()).collect();
        keys.push(&plan.tasks[first].key.0);
        problems.add(
            format!("/tasks/{first}/depends_on"),
            format!(
                "tasks wait for each other in a circle: {}; leave out one of depends_on or needs",
                keys.join(" → ")
            ),
        );
        parents[last].remove(&first);
    }
    None
}

/// For each task the providers of what it needs, with the interface.
fn needed_parents(plan: &PlanDocument) -> Vec<Vec<(usize, String)>> {
    let places = graph::places(plan);
    plan.tasks
        .iter()
        .map(|task| {
            task.needs
                .iter()
                .filter_map(|id| {
                    let interface = plan.interfaces.iter().find(|known| known.id == *id)?;
                    let provider = *places.get(interface.provider.0.as_str())?;
                    (interface.provider != task.key).then(|| (provider, id.clone()))
                })
                .collect()
        })
        .collect()
}

/// Adds the edges that interfaces and overlapping paths ask for and drops those that others imply.
///
/// Tasks are taken parents first, so what is above a task is settled when its own turn comes, and every edge that
/// is added leads back along the order: no cycle can arise.
fn rebuild_edges(plan: &mut PlanDocument, order: &[usize], repairs: &mut Vec<String>) {
    let needed = needed_parents(plan);
    let mut parents = graph::named_parents(plan);
    let mut above: Parents = vec![BTreeSet::new(); plan.tasks.len()];
    for (position, &task) in order.iter().enumerate() {
        let key = plan.tasks[task].key.clone();
        let mut known = reached(&parents[task], &above);
        let mut added = Vec::new();
        for (provider, interface) in &needed[task] {
            if !known.contains(provider) {
                added.push((*provider, Why::Interface));
                repairs.push(format!(
                    "task {key} waits for {}: it needs interface {interface}",
                    plan.tasks[*provider].key
                ));
                known.insert(*provider);
                known.extend(&above[*provider]);
            }
        }
        for &earlier in order[..position].iter().rev() {
            if known.contains(&earlier) {
                continue;
            }
            if let Some(path) = common_path(plan, earlier, task) {
                added.push((earlier, Why::Overlap));
                repairs.push(format!(
                    "task {key} waits for {}: both touch {path}",
                    plan.tasks[earlier].key
                ));
                known.insert(earlier);
                known.extend(&above[earlier]);
            }
        }
        for (parent, why) in added {
            parents[task].insert(parent);
            let key = plan.tasks[parent].key.clone();
            plan.tasks[task].depends_on.push(Dependency { key, why });
        }
        drop_implied(plan, task, &mut parents, &above, repairs);
        above[task] = known;
    }
}

/// The parents and everything above them.
fn reached(parents: &BTreeSet<usize>, above: &Parents) -> BTreeSet<usize> {
    let further = parents.iter().flat_map(|parent| above[*parent].iter());
    parents.iter().chain(further).copied().collect()
}

fn drop_implied(
    plan: &mut PlanDocument,
    task: usize,
    parents: &mut Parents,
    above: &Parents,
    repairs: &mut Vec<String>,
) {
    let implied: Vec<usize> = parents[task]
        .iter()
        .copied()
        .filter(|parent| {
            let mut others = parents[task].iter();
            others.any(|other| above[*other].contains(parent))
        })
        .collect();
    for parent in implied {
        parents[task].remove(&parent);
        let parent_key = plan.tasks[parent].key.clone();
        plan.tasks[task]
            .depends_on
            .retain(|dependency| dependency.key != parent_key);
        repairs.push(format!(
            "task {} waits for {parent_key} through others; the direct edge is left out",
            plan.tasks[task].key
        ));
    }
}

/// A path that both tasks mean to have for themselves.
fn common_path(plan: &PlanDocument, left: usize, right: usize) -> Option<String> {
    let territory = |task: usize| {
        let paths = &plan.tasks[task].paths;
        paths.owns.iter().chain(&paths.creates)
    };
    territory(left)
        .flat_map(|path| territory(right).map(move |other| (path, other)))
        .find(|(path, other)| globs::overlap(path, other))
        .map(|(path, other)| if is_literal(path) { path } else { other }.clone())
}
