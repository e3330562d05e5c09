//! A plan as the director writes it: the document, its parts, and what each field means.
//!
//! The JSON schema that a model is held to is derived from these types. Fields that nothing uses yet may be left
//! out of a document that a person writes; a model is asked for all of them.

use crate::ids::TaskKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// Whether one worker does it all or several share it.
    #[serde(default)]
    pub mode: Mode,
    /// Why that mode was chosen.
    #[serde(default)]
    pub reason: String,
    /// What the objective asks for, each point with an id that tasks refer to.
    #[serde(default)]
    pub requirements: Vec<Requirement>,
    /// What is deliberately left out.
    #[serde(default)]
    pub non_goals: Vec<String>,
    /// What the plan takes for granted.
    #[serde(default)]
    pub assumptions: Vec<String>,
    /// Contracts that one task provides and others build on.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Paths that several tasks may touch: lock files, indexes.
    #[serde(default)]
    pub shared_paths: Vec<String>,
    /// The nodes of the graph.
    pub tasks: Vec<PlannedTask>,
}

/// How the work is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One worker: small, sequential or undiagnosed work.
    Single,
    /// Several workers side by side.
    #[default]
    Parallel,
}

/// One point that the objective asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Unique within the plan.
    pub id: String,
    /// What must be true.
    pub text: String,
}

/// A contract between tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Unique within the plan.
    pub id: String,
    /// The contract's text: names, types, behaviour.
    pub contract: String,
    /// Where it lives in the repository.
    #[serde(default)]
    pub path: String,
    /// The task that provides it.
    pub provider: TaskKey,
}

/// A node of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedTask {
    /// A stable slug: lower-case letters, digits and hyphens.
    pub key: TaskKey,
    /// A line for people.
    pub title: String,
    /// The kind of worker: a known profile.
    pub profile: String,
    /// Ids of the requirements this task serves.
    #[serde(default)]
    pub covers: Vec<String>,
    /// What to do, why, pointers and boundaries.
    pub instructions: String,
    /// What can be observed when it is done.
    #[serde(default)]
    pub acceptance: Vec<Acceptance>,
    /// A command of the task's own that tells whether it is done.
    #[serde(default)]
    pub check: Option<TaskCheck>,
    /// Tasks whose work must have landed first.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// What the task expects to touch.
    #[serde(default)]
    pub paths: Paths,
    /// Interfaces it provides.
    #[serde(default)]
    pub provides: Vec<String>,
    /// Interfaces it builds on.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How large it is.
    #[serde(default)]
    pub size: Size,
    /// How likely it is to go wrong.
    #[serde(default)]
    pub risk: Risk,
    /// What the planner did not know.
    #[serde(default)]
    pub unknowns: Vec<String>,
}

/// One observable condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Unique within the task.
    pub id: String,
    /// What is observed.
    pub text: String,
    /// The command that shows it, or `judged`.
    #[serde(default)]
    pub check: String,
}

/// A command that tells whether a task is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskCheck {
    /// A shell command, run at the root of the tree.
    pub command: String,
    /// Seconds after which it has failed; 0 for the workspace's own limit.
    #[serde(default)]
    pub time_limit_s: u32,
    /// Whether the command is expected to fail before the work is done.
    #[serde(default)]
    pub fails_before: bool,
}

/// An edge of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The task that must be complete first.
    pub key: TaskKey,
    /// Why.
    #[serde(default)]
    pub why: Why,
}

/// Why one task waits for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It builds on a contract the other provides.
    Interface,
    /// It builds on the other's code.
    #[default]
    Code,
    /// It tests what the other made.
    Test,
    /// Both touch the same paths, so they go one after the other.
    Overlap,
}

/// Globs, relative to the root of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Touched by this task alone.
    #[serde(default)]
    pub owns: Vec<String>,
    /// Touched together with others.
    #[serde(default)]
    pub shared: Vec<String>,
    /// Made by this task.
    #[serde(default)]
    pub creates: Vec<String>,
}

/// How large a task is, in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Size {
    /// At most three files.
    #[default]
    S,
    /// At most eight files.
    M,
    /// More: must be split.
    L,
}

/// How likely a task is to go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Routine.
    #[default]
    Low,
    /// Some unknowns.
    Medium,
    /// Likely to need another try.
    High,
}

impl PlanDocument {
    /// A plan of one task that carries the whole objective: what remains when no better plan could be had.
    pub fn single(objective: &str, profile: &str, reason: &str) -> Self {
        let requirement = Requirement {
            id: "r1".into(),
            text: objective.to_owned(),
        };
        Self {
            mode: Mode::Single,
            reason: reason.to_owned(),
            tasks: vec![PlannedTask {
                key: "objective".into(),
                title: first_line(objective, 80),
                profile: profile.to_owned(),
                covers: vec![requirement.id.clone()],
                instructions: objective.to_owned(),
                acceptance: Vec::new(),
                check: None,
                depends_on: Vec::new(),
                paths: Paths::default(),
                provides: Vec::new(),
                needs: Vec::new(),
                size: Size::S,
                risk: Risk::Low,
                unknowns: Vec::new(),
            }],
            requirements: vec![requirement],
            ..Self::default()
        }
    }
}

/// The first line of a text, cut to a number of characters with an ellipsis.
pub fn first_line(text: &str, limit: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    if line.chars().count() <= limit {
        return line.to_owned();
    }
    let cut: String = line.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}
