//! Paths: inside the root, and either there or made by some task.

use super::{
    Context, Problems,
    globs::{self, is_literal},
};
use crate::plan::PlanDocument;

pub(super) fn check(plan: &PlanDocument, context: &Context<'_>, problems: &mut Problems) {
    inside_root(plan, problems);
    for (index, task) in plan.tasks.iter().enumerate() {
        for (place, path) in task.paths.owns.iter().enumerate() {
            let there = !is_literal(path) || why_outside(path).is_some();
            if !there && !(context.file_exists)(globs::normal(path)) && !is_created(plan, path) {
                problems.add(
                    format!("/tasks/{index}/paths/owns/{place}"),
                    format!(
                        "{path:?} neither exists nor is created; list it in paths.creates of the task that makes it"
                    ),
                );
            }
        }
    }
}

fn inside_root(plan: &PlanDocument, problems: &mut Problems) {
    let mut report = |pointer: String, path: &str| {
        if let Some(why) = why_outside(path) {
            problems.add(
                pointer,
                format!("{path:?} {why}; use a path or glob relative to the root of the repository"),
            );
        }
    };
    for (index, path) in plan.shared_paths.iter().enumerate() {
        report(format!("/shared_paths/{index}"), path);
    }
    for (index, interface) in plan.interfaces.iter().enumerate() {
        if !interface.path.is_empty() {
            report(format!("/interfaces/{index}/path"), &interface.path);
        }
    }
    for (index, task) in plan.tasks.iter().enumerate() {
        let lists = [
            ("owns", &task.paths.owns),
            ("shared", &task.paths.shared),
            ("creates", &task.paths.creates),
        ];
        for (field, list) in lists {
            for (place, path) in list.iter().enumerate() {
                report(format!("/tasks/{index}/paths/{field}/{place}"), path);
            }
        }
    }
}

/// Why a path can't name something in the tree.
fn why_outside(path: &str) -> Option<&'static str> {
    let drive = path.as_bytes().get(1) == Some(&b':');
    if path.trim().is_empty() {
        Some("is empty")
    } else if path.starts_with(['/', '\\', '~']) || drive {
        Some("is absolute")
    } else if path.split(['/', '\\']).any(|part| part == "..") {
        Some("leads out of the root")
    } else if path.split('/').any(|part| part == ".git") {
        Some("is git's own")
    } else if path.contains(char::is_control) {
        Some("holds a control character")
    } else {
        None
    }
}

fn is_created(plan: &PlanDocument, path: &str) -> bool {
    plan.tasks
        .iter()
        .flat_map(|task| &task.paths.creates)
        .any(|created| globs::overlap(created, path))
}
