//! The checks of a plan that need no judgement: what is wrong is told with a pointer into the document, what can be
//! mended without guessing is mended and told as well.

mod globs;
mod graph;
mod names;
mod paths;
mod repair;
mod vacuous;

#[cfg(test)]
mod tests;

pub use globs::{is_literal, overlap};

use crate::{limits::RunLimits, plan::PlanDocument};
use std::fmt;

/// What a plan is checked against.
pub struct Context<'a> {
    /// The names of the known profiles.
    pub profiles: &'a [String],
    /// How large a plan may be.
    pub limits: &'a RunLimits,
    /// Whether a path, or anything that a glob matches, is in the tree the run starts from.
    pub file_exists: &'a dyn Fn(&str) -> bool,
}

/// A plan that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The plan, with its repairs.
    pub plan: PlanDocument,
    /// What was repaired, a sentence each.
    pub repairs: Vec<String>,
}

/// Something that only the plan's author can mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// What is wrong there, with the value and the way out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.pointer, self.message)
    }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            pointer: pointer.into(),
            message: message.into(),
        });
    }
}

/// Checks a plan and repairs what can be repaired without guessing. A checked plan, checked again, is unchanged.
///
/// # Errors
/// Everything that is wrong with it, so that one answer can mend it all.
pub fn check(plan: PlanDocument, context: &Context<'_>) -> Result<Checked, Vec<Problem>> {
    let mut problems = Problems::default();
    if plan.tasks.is_empty() {
        problems.add("/tasks", "the plan has no tasks; give at least one");
        return Err(problems.0);
    }
    let limit = context.limits.tasks;
    if plan.tasks.len() > limit as usize {
        let count = plan.tasks.len();
        problems.add(
            "/tasks",
            format!("{count} tasks are too many (limit tasks = {limit}); join small ones"),
        );
        return Err(problems.0);
    }

    names::check(&plan, context, &mut problems);
    paths::check(&plan, context, &mut problems);
    vacuous::check(&plan, &mut problems);
    if !names::edges_are_known(&plan) {
        return Err(problems.0);
    }

    let repaired = repair::repair(plan, &mut problems);
    let Some(checked) = repaired else {
        return Err(problems.0);
    };
    let depth = crate::schedule::levels(&checked.plan);
    let limit = context.limits.depth;
    if depth > limit {
        problems.add(
            "/tasks",
            format!(
                "the longest chain of dependencies has {depth} tasks (limit depth = {limit}): {}; let tasks that \
                 share neither code nor paths run side by side",
                graph::longest_chain(&checked.plan).join(" → ")
            ),
        );
    }
    if problems.0.is_empty() {
        Ok(checked)
    } else {
        Err(problems.0)
    }
}
