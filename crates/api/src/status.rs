//! What a task is doing, waiting for or came to: one description for the API, pages, terminal and report.

use crate::{Action, Reason, TaskMerge};
use domain::{merge::MergeState, task::TaskState};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Tasks that a line names one by one.
const NAMED_TASKS: usize = 3;
/// Characters of a commit's id that a line shows.
const COMMIT_DIGITS: usize = 7;

/// What a task is doing, waiting for or came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskStatus {
    /// Other tasks have to complete first.
    WaitsForTasks {
        /// The tasks that have not completed.
        tasks: Vec<String>,
    },
    /// It waits for a free worker.
    Ready {
        /// When it became ready.
        #[serde(default, with = "time::serde::rfc3339::option")]
        since: Option<OffsetDateTime>,
        /// When it can be claimed, while it waits between two attempts.
        #[serde(default, with = "time::serde::rfc3339::option")]
        retry_at: Option<OffsetDateTime>,
        /// Why its work was sent back; null before the first time.
        sent_back: Option<SentBack>,
    },
    /// Something it needs is temporarily unavailable.
    Blocked {
        /// What is unavailable, such as `the shared hub`.
        on: String,
    },
    /// A worker works on it.
    Working {
        /// The number of the attempt, from 1.
        attempt: i32,
        /// What the worker is doing.
        #[serde(flatten)]
        action: Action,
    },
    /// Its work is in the merge queue.
    Merging {
        /// The merge; null until it is queued.
        merge: Option<TaskMerge>,
    },
    /// It is complete.
    Complete {
        /// The merge commit that landed its work; null where nothing had to change.
        commit: Option<String>,
    },
    /// It failed for good.
    Failed {
        /// Why.
        reason: Option<Reason>,
    },
    /// It was cancelled, or a task it depends on did not complete.
    Cancelled {
        /// Why.
        reason: Option<Reason>,
    },
}

/// That a task's work was sent back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentBack {
    /// How many times so far.
    pub times: i32,
    /// Why, the last time.
    pub reason: Reason,
}

/// What a status is built from.
#[derive(Clone, Debug)]
pub struct StatusInputs {
    /// The task's state.
    pub state: TaskState,
    /// Why it was sent back or ended without success.
    pub reason: Option<Reason>,
    /// Attempts started.
    pub attempts: i32,
    /// Failures that count, rejected merges included.
    pub failures: i32,
    /// Tasks it depends on that have not completed.
    pub waits_for: Vec<String>,
    /// What it needs and is temporarily unavailable.
    pub blocked_on: Option<String>,
    /// When it became ready.
    pub ready_at: Option<OffsetDateTime>,
    /// When it can be claimed, where that lies in the future.
    pub retry_at: Option<OffsetDateTime>,
    /// What its worker is doing.
    pub action: Option<Action>,
    /// Its newest merge.
    pub merge: Option<TaskMerge>,
    /// The merge commit that landed its work.
    pub landed_commit: Option<String>,
}

impl StatusInputs {
    /// A task of which only the state is known.
    pub fn new(state: TaskState) -> Self {
        Self {
            state,
            reason: None,
            attempts: 0,
            failures: 0,
            waits_for: Vec::new(),
            blocked_on: None,
            ready_at: None,
            retry_at: None,
            action: None,
            merge: None,
            landed_commit: None,
        }
    }
}

impl From<StatusInputs> for TaskStatus {
    fn from(task: StatusInputs) -> Self {
        if let (Some(on), false) = (task.blocked_on, task.state.is_final()) {
            return Self::Blocked { on };
        }
        match task.state {
            TaskState::Planned => Self::WaitsForTasks { tasks: task.waits_for },
            TaskState::Ready => Self::Ready {
                since: task.ready_at,
                retry_at: task.retry_at,
                sent_back: task.reason.map(|reason| SentBack {
                    times: task.failures.max(1),
                    reason,
                }),
            },
            TaskState::Active => Self::Working {
                attempt: task.attempts.max(1),
                action: task.action.unwrap_or_default(),
            },
            TaskState::Merging => Self::Merging { merge: task.merge },
            TaskState::Complete => Self::Complete {
                commit: task.landed_commit,
            },
            TaskState::Failed => Self::Failed { reason: task.reason },
            TaskState::Cancelled => Self::Cancelled { reason: task.reason },
        }
    }
}

impl TaskStatus {
    /// One line for people, without a full stop. It may quote models and repositories: a terminal cleans it first.
    pub fn words(&self) -> String {
        match self {
            Self::WaitsForTasks { tasks } if tasks.is_empty() => "planned".to_owned(),
            Self::WaitsForTasks { tasks } => format!("waits for {}", named(tasks)),
            Self::Ready {
                sent_back: Some(SentBack { times, reason }),
                ..
            } => match times {
                1 => format!("sent back: {}", one_line(&reason.message)),
                times => format!("sent back {times} times: {}", one_line(&reason.message)),
            },
            Self::Ready { retry_at: Some(_), .. } => "waits before the next attempt".to_owned(),
            Self::Ready { .. } => "waits for a worker".to_owned(),
            Self::Blocked { on } => format!("waits for {}", one_line(on)),
            Self::Working { attempt: 1, action } => action.words(),
            Self::Working { attempt, action } => format!("attempt {attempt} · {}", action.words()),
            Self::Merging { merge: Some(merge) } => merge.words(),
            Self::Merging { merge: None } => "in the merge queue".to_owned(),
            Self::Complete { commit: Some(commit) } => {
                format!("landed {}", commit.get(..COMMIT_DIGITS).unwrap_or(commit))
            }
            Self::Complete { commit: None } => "complete, nothing had to change".to_owned(),
            Self::Failed { reason } => ended("failed", reason.as_ref()),
            Self::Cancelled { reason } => ended("cancelled", reason.as_ref()),
        }
    }

    /// What its colour and its sign express.
    pub fn tone(&self) -> Tone {
        match self {
            Self::WaitsForTasks { .. } | Self::Ready { .. } | Self::Blocked { .. } => Tone::Waiting,
            Self::Working { .. } => Tone::Active,
            Self::Merging { merge: Some(merge) } if merge.state == MergeState::Waiting => Tone::NeedsYou,
            Self::Merging { .. } => Tone::Merging,
            Self::Complete { .. } => Tone::Complete,
            Self::Failed { .. } => Tone::Failed,
            Self::Cancelled { .. } => Tone::Cancelled,
        }
    }
}

impl Action {
    /// One line for people: `turn 7 · shell cargo test`.
    pub fn words(&self) -> String {
        if self.turn == 0 {
            return "starts".to_owned();
        }
        let tool = one_line(self.tool.as_deref().unwrap_or_default());
        let summary = one_line(self.summary.as_deref().unwrap_or_default());
        // Many summaries start with the name of their tool.
        let doing = match summary.starts_with(&tool) {
            true => summary,
            false => format!("{tool} {summary}").trim_end().to_owned(),
        };
        match doing.is_empty() {
            true => format!("turn {}", self.turn),
            false => format!("turn {} · {doing}", self.turn),
        }
    }
}

impl TaskMerge {
    /// One line for people: `merging: conflict in src/router.rs, resolver at work`.
    pub fn words(&self) -> String {
        let conflict = || format!("conflict in {}", named(&self.conflicts));
        match (self.state, self.conflicts.is_empty()) {
            (MergeState::Queued, _) => match self.position {
                None => "in the merge queue".to_owned(),
                Some(1) => "next in the merge queue".to_owned(),
                Some(position) => format!("in the merge queue at position {position}"),
            },
            (MergeState::Merging, _) => "merging".to_owned(),
            (MergeState::Resolving, true) => "merging: resolver at work".to_owned(),
            (MergeState::Resolving, false) => format!("merging: {}, resolver at work", conflict()),
            (MergeState::Verifying, true) => "merged, the gate runs".to_owned(),
            (MergeState::Verifying, false) => format!("{} resolved, the gate runs", conflict()),
            (MergeState::Waiting, true) => "waits for you".to_owned(),
            (MergeState::Waiting, false) => format!("waits for you: {}", conflict()),
            (MergeState::Landed, _) => "landed".to_owned(),
            (MergeState::Rejected, _) => "rejected".to_owned(),
            (MergeState::Error, _) => "could not be merged".to_owned(),
        }
    }
}

/// What a colour and a sign express, the same in every interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It waits for something other than a person.
    Waiting,
    /// A worker works on it.
    Active,
    /// It is being merged.
    Merging,
    /// It is done.
    Complete,
    /// A person has to decide.
    NeedsYou,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Tone {
    /// The sign that goes with the colour, so that colour is never the only sign.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Waiting => "○",
            Self::Active => "●",
            Self::Merging => "◆",
            Self::Complete => "✓",
            Self::NeedsYou => "!",
            Self::Failed => "✗",
            Self::Cancelled => "–",
        }
    }
}

fn ended(how: &str, reason: Option<&Reason>) -> String {
    match reason {
        Some(reason) => format!("{how}: {}", one_line(&reason.message)),
        None => how.to_owned(),
    }
}

/// The first names, and how many more there are.
fn named(names: &[String]) -> String {
    let (first, rest) = names.split_at(names.len().min(NAMED_TASKS));
    let first = one_line(&first.join(", "));
    match rest.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::run::ReasonCode;

    fn reason(message: &str) -> Option<Reason> {
        Some(Reason {
            code: ReasonCode::Gate,
            message: message.to_owned(),
        })
    }

    fn merge(state: MergeState, position: Option<i64>, conflicts: &[&str]) -> Option<TaskMerge> {
        Some(TaskMerge {
            id: 12,
            state,
            position,
            conflicts: conflicts.iter().map(|path| (*path).to_owned()).collect(),
        })
    }

    fn action(turn: i32, tool: &str, summary: &str) -> Option<Action> {
        Some(Action {
            turn,
            tool: (!tool.is_empty()).then(|| tool.to_owned()),
            summary: (!summary.is_empty()).then(|| summary.to_owned()),
        })
    }

    /// One of each, as every interface words it.
    fn all() -> Vec<StatusInputs> {
        let new = StatusInputs::new;
        let names = |many: usize| (1..=many).map(|number| format!("task-{number}")).collect();
        let merging = |merge| StatusInputs {
            merge,
            ..new(TaskState::Merging)
        };
        let working = |attempts, action| StatusInputs {
            attempts,
            action,
            ..new(TaskState::Active)
        };
        vec![
            new(TaskState::Planned),
            StatusInputs {
                waits_for: names(2),
                ..new(TaskState::Planned)
            },
            StatusInputs {
                waits_for: names(9),
                ..new(TaskState::Planned)
            },
            new(TaskState::Ready),
            StatusInputs {
                retry_at: Some(OffsetDateTime::UNIX_EPOCH),
                ..new(TaskState::Ready)
            },
            StatusInputs {
                reason: reason("the gate\n failed"),
                failures: 1,
                ..new(TaskState::Ready)
            },
            StatusInputs {
                reason: reason("the gate failed"),
                failures: 2,
                ..new(TaskState::Ready)
            },
            StatusInputs {
                blocked_on: Some("the shared hub".into()),
                ..new(TaskState::Active)
            },
            working(1, None),
            working(1, action(7, "shell", "cargo test")),
            working(1, action(7, "shell", "shell cargo test")),
            working(2, action(3, "edit", "")),
            working(2, action(3, "", "")),
            merging(None),
            merging(merge(MergeState::Queued, Some(1), &[])),
            merging(merge(MergeState::Queued, Some(4), &[])),
            merging(merge(MergeState::Queued, None, &[])),
            merging(merge(MergeState::Merging, Some(1), &[])),
            merging(merge(MergeState::Resolving, Some(1), &["src/router.rs"])),
            merging(merge(MergeState::Verifying, Some(1), &[])),
            merging(merge(MergeState::Verifying, Some(1), &["src/router.rs"])),
            merging(merge(MergeState::Waiting, None, &["src/router.rs", "src/app.rs"])),
            merging(merge(MergeState::Waiting, None, &[])),
            StatusInputs {
                landed_commit: Some("9e1d04c5a7".into()),
                ..new(TaskState::Complete)
            },
            new(TaskState::Complete),
            StatusInputs {
                reason: reason("3 attempts failed"),
                ..new(TaskState::Failed)
            },
            StatusInputs {
                reason: reason("the run ended"),
                ..new(TaskState::Cancelled)
            },
            // What blocked a task that ended is history.
            StatusInputs {
                blocked_on: Some("the shared hub".into()),
                ..new(TaskState::Cancelled)
            },
        ]
    }

    #[test]
    fn every_status_has_its_words_and_sign() {
        let lines = all().into_iter().map(|inputs| {
            let status = TaskStatus::from(inputs);
            format!("{} {}", status.tone().sign(), status.words())
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_status_survives_the_wire() {
        for inputs in all() {
            let status = TaskStatus::from(inputs);
            let sent = serde_json::to_string(&status).unwrap();
            assert_eq!(serde_json::from_str::<TaskStatus>(&sent).unwrap(), status, "{sent}");
        }
    }
}
