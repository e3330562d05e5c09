//! Keys, ids and texts: present, unique, known.

use super::{Context, Problems};
use crate::{
    ids::TaskKey,
    plan::{PlanDocument, PlannedTask, Size},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(plan: &PlanDocument, context: &Context<'_>, problems: &mut Problems) {
    let keys: BTreeSet<&str> = plan.tasks.iter().map(|task| task.key.0.as_str()).collect();
    task_keys(plan, problems);
    for (index, task) in plan.tasks.iter().enumerate() {
        texts(index, task, context, problems);
        for (edge, dependency) in task.depends_on.iter().enumerate() {
            if !keys.contains(dependency.key.0.as_str()) {
                problems.add(
                    format!("/tasks/{index}/depends_on/{edge}/key"),
                    format!("no task has the key {:?}", dependency.key.0),
                );
            }
        }
    }
    requirements(plan, problems);
    interfaces(plan, &keys, problems);
}

/// Whether keys are unique and every edge leads to a task, so that the graph can be looked at.
pub(super) fn edges_are_known(plan: &PlanDocument) -> bool {
    let keys: BTreeSet<&TaskKey> = plan.tasks.iter().map(|task| &task.key).collect();
    let mut edges = plan.tasks.iter().flat_map(|task| &task.depends_on);
    keys.len() == plan.tasks.len() && edges.all(|edge| keys.contains(&edge.key))
}

fn task_keys(plan: &PlanDocument, problems: &mut Problems) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, task) in plan.tasks.iter().enumerate() {
        let key = task.key.0.as_str();
        let pointer = format!("/tasks/{index}/key");
        if !TaskKey::is_valid(key) {
            let limit = TaskKey::MAX_LENGTH;
            problems.add(
                &pointer,
                format!("{key:?} can't be a key; use 1 to {limit} lower-case letters, digits and hyphens, not beginning with a hyphen"),
            );
        }
        match first.get(key) {
            Some(other) => problems.add(
                &pointer,
                format!("the key {key:?} is already that of /tasks/{other}; keys are unique"),
            ),
            None => {
                first.insert(key, index);
            }
        }
    }
}

fn texts(index: usize, task: &PlannedTask, context: &Context<'_>, problems: &mut Problems) {
    for (field, text) in [("title", &task.title), ("instructions", &task.instructions)] {
        if text.trim().is_empty() {
            problems.add(format!("/tasks/{index}/{field}"), format!("the {field} is empty"));
        }
    }
    if !context.profiles.contains(&task.profile) {
        problems.add(
            format!("/tasks/{index}/profile"),
            format!(
                "{:?} is not a profile; there are: {}",
                task.profile,
                context.profiles.join(", ")
            ),
        );
    }
    if task.size == Size::L {
        problems.add(
            format!("/tasks/{index}/size"),
            "a task of size L (more than eight files) must be split into smaller tasks",
        );
    }
    let mut seen = BTreeSet::new();
    for (place, acceptance) in task.acceptance.iter().enumerate() {
        if !seen.insert(acceptance.id.as_str()) {
            problems.add(
                format!("/tasks/{index}/acceptance/{place}/id"),
                format!("the id {:?} is used twice in this task", acceptance.id),
            );
        }
    }
}

fn requirements(plan: &PlanDocument, problems: &mut Problems) {
    let mut ids = BTreeSet::new();
    let covered: BTreeSet<&str> = plan
        .tasks
        .iter()
        .flat_map(|task| task.covers.iter().map(String::as_str))
        .collect();
    for (index, requirement) in plan.requirements.iter().enumerate() {
        if !ids.insert(requirement.id.as_str()) {
            problems.add(
                format!("/requirements/{index}/id"),
                format!("the id {:?} is used twice", requirement.id),
            );
        } else if !covered.contains(requirement.id.as_str()) {
            problems.add(
                format!("/requirements/{index}"),
                format!(
                    "no task covers requirement {:?}; name it in some task's covers",
                    requirement.id
                ),
            );
        }
    }
    for (index, task) in plan.tasks.iter().enumerate() {
        for (place, id) in task.covers.iter().enumerate() {
            if !ids.contains(id.as_str()) {
                problems.add(
                    format!("/tasks/{index}/covers/{place}"),
                    format!("no requirement has the id {id:?}"),
                );
            }
        }
    }
}

fn interfaces(plan: &PlanDocument, keys: &BTreeSet<&str>, problems: &mut Problems) {
    let mut ids = BTreeSet::new();
    for (index, interface) in plan.interfaces.iter().enumerate() {
        if !ids.insert(interface.id.as_str()) {
            problems.add(
                format!("/interfaces/{index}/id"),
                format!("the id {:?} is used twice", interface.id),
            );
        }
        let provider = interface.provider.0.as_str();
        if !keys.contains(provider) {
            problems.add(
                format!("/interfaces/{index}/provider"),
                format!("no task has the key {provider:?}"),
            );
        }
        let others: Vec<&str> = plan
            .tasks
            .iter()
            .filter(|task| task.provides.contains(&interface.id))
            .map(|task| task.key.0.as_str())
            .filter(|key| *key != provider)
            .collect();
        if !others.is_empty() {
            problems.add(
                format!("/interfaces/{index}/provider"),
                format!(
                    "interface {:?} must have exactly one provider, but besides {provider} it is provided by {}",
                    interface.id,
                    others.join(", ")
                ),
            );
        }
    }
    for (index, task) in plan.tasks.iter().enumerate() {
        for (field, named) in [("provides", &task.provides), ("needs", &task.needs)] {
            for (place, id) in named.iter().enumerate() {
                if !ids.contains(id.as_str()) {
                    problems.add(
                        format!("/tasks/{index}/{field}/{place}"),
                        format!("no interface has the id {id:?}"),
                    );
                }
            }
        }
    }
}
