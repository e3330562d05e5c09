//! The kinds of spans, with their names.

use super::attributes;
use domain::{MergeId, TaskId};
use opentelemetry::{KeyValue, trace};

/// What a span describes.
#[derive(Clone, Copy, Debug)]
pub enum SpanKind<'a> {
    /// A run, the root of its trace; see [`super::run`].
    Run,
    /// The director creates or changes the plan.
    Plan,
    /// A task with all its attempts, or one attempt.
    Task {
        /// The worker's profile.
        profile: &'a str,
        /// Which task.
        task: TaskId,
        /// Which attempt, counted from 1.
        attempt: u32,
    },
    /// A worker's loop: one attempt, across all processes that worked on it.
    Agent {
        /// The worker's profile.
        profile: &'a str,
        /// Which attempt of the task, counted from 1.
        attempt: u32,
    },
    /// One answer of a model and its tool calls.
    Turn {
        /// Counted from 1.
        number: u32,
    },
    /// A model call; retries are its events.
    Chat {
        /// The provider, by its name in the configuration.
        provider: &'a str,
        /// The requested model.
        model: &'a str,
    },
    /// A tool call.
    Tool {
        /// The tool.
        name: &'a str,
    },
    /// A merge, from queued to landed or rejected.
    Merge {
        /// Which merge.
        merge: MergeId,
    },
    /// The wait for the merge lock.
    LockWait,
    /// Resolving conflicts.
    Resolve,
    /// The check command on a merged tree.
    Gate,
}

impl SpanKind<'_> {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Run => "invoke_workflow".to_owned(),
            Self::Plan => "plan director".to_owned(),
            Self::Task { profile, .. } => format!("task {profile}"),
            Self::Agent { profile, .. } => format!("invoke_agent {profile}"),
            Self::Turn { number } => format!("turn {number}"),
            Self::Chat { model, .. } => format!("chat {model}"),
            Self::Tool { name } => format!("execute_tool {name}"),
            Self::Merge { .. } => "git.merge".to_owned(),
            Self::LockWait => "git.lock.wait".to_owned(),
            Self::Resolve => "git.conflict.resolve".to_owned(),
            Self::Gate => "gate.verify".to_owned(),
        }
    }

    /// Whether the work is done in this process or by another service.
    pub(super) fn direction(&self) -> trace::SpanKind {
        match self {
            Self::Chat { .. } => trace::SpanKind::Client,
            Self::Run
            | Self::Plan
            | Self::Task { .. }
            | Self::Agent { .. }
            | Self::Turn { .. }
            | Self::Tool { .. }
            | Self::Merge { .. }
            | Self::LockWait
            | Self::Resolve
            | Self::Gate => trace::SpanKind::Internal,
        }
    }

    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        let operation = |name: &'static str| KeyValue::new(attributes::OPERATION, name);
        let text = |name: &'static str, value: &str| KeyValue::new(name, value.to_owned());
        match self {
            Self::Run => {
                vec![
                    operation("invoke_workflow"),
                    text(attributes::WORKFLOW_NAME, "agent-orchestrator"),
                ]
            }
            Self::Plan => vec![operation("plan"), text(attributes::AGENT_NAME, "director")],
            Self::Task { profile, task, attempt } => vec![
                text(attributes::PROFILE, profile),
                KeyValue::new(attributes::TASK_ID, task.0),
                KeyValue::new(attributes::ATTEMPT, i64::from(*attempt)),
            ],
            Self::Agent { profile, attempt } => {
                vec![
                    operation("invoke_agent"),
                    text(attributes::AGENT_NAME, profile),
                    KeyValue::new(attributes::ATTEMPT, i64::from(*attempt)),
                ]
            }
            Self::Turn { number } => vec![KeyValue::new(attributes::TURN, i64::from(*number))],
            Self::Chat { provider, model } => vec![
                operation("chat"),
                text(attributes::PROVIDER, provider),
                text(attributes::REQUEST_MODEL, model),
            ],
            Self::Tool { name } => {
                vec![operation("execute_tool"), text(attributes::TOOL_NAME, name)]
            }
            Self::Merge { merge } => vec![KeyValue::new(attributes::MERGE_ID, merge.0)],
            Self::LockWait | Self::Resolve | Self::Gate => Vec::new(),
        }
    }
}
