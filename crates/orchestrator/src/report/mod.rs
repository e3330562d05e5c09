//! The report of a run.

mod document;
mod text;

pub(crate) use document::RunDocument;
pub(crate) use text::lines;

use crate::{changes::Changes, progress::clean};
use api::{Check, Cost, Delivery, IntegrityFlag, Merge, Reason, ReturnedAttempt, Run, Task};
use domain::{
    gate::{GateReport, GateVerdict},
    merge::MergeState,
    recorded::Recorded,
    run::RunState,
    task::TaskState,
};
use serde_json::Value;
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// Most lines shown of the output of a gate that did not pass.
const OUTPUT_LINES: usize = 6;

/// The report for people.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) short: String,
    pub(crate) state: RunState,
    pub(crate) reason: Option<Reason>,
    pub(crate) objective: String,
    /// Where the branch is.
    pub(crate) repository: String,
    pub(crate) branch: String,
    pub(crate) base: Option<String>,
    /// The commit that was delivered.
    pub(crate) commit: Option<String>,
    /// What was done with the checkout, in words.
    pub(crate) checkout: Option<String>,
    /// The delivery, step by step.
    pub(crate) delivery: Delivery,
    /// When its trees and outputs were deleted.
    pub(crate) expired_at: Option<OffsetDateTime>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) tasks: Vec<TaskReport>,
    pub(crate) merges: Vec<MergeReport>,
    pub(crate) check: Option<Check>,
    pub(crate) gate: GateSums,
    /// What landed that weakens the check or runs by itself.
    pub(crate) integrity_flags: Vec<IntegrityFlag>,
    /// Whether the checkout may be fast-forwarded in spite of them.
    pub(crate) allow_integrity_flags: bool,
    /// What differs between base and branch.
    pub(crate) changes: Option<Changes>,
    pub(crate) cost: Cost,
}

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct TaskReport {
    pub(crate) key: String,
    pub(crate) profile: String,
    pub(crate) state: TaskState,
    pub(crate) reason: Option<Reason>,
    /// What it does or waits for, while it has not ended.
    pub(crate) standing: Option<String>,
    pub(crate) attempts: i32,
    /// The attempts that did not land, each with the reason.
    pub(crate) returned: Vec<ReturnedAttempt>,
    pub(crate) turns: i64,
    pub(crate) cost_dollars: f64,
    pub(crate) landed_commit: Option<String>,
    pub(crate) duration_ms: Option<i64>,
}

/// An entry of the merge queue.
#[derive(Clone, Debug)]
pub(crate) struct MergeReport {
    pub(crate) id: i64,
    pub(crate) task: String,
    pub(crate) attempt: i32,
    pub(crate) state: MergeState,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) resolutions: Vec<Decision>,
    pub(crate) gate: Option<Gate>,
    pub(crate) reason: Option<Reason>,
}

/// A conflicting path, with the blobs that met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) base: Option<String>,
    pub(crate) ours: Option<String>,
    pub(crate) theirs: Option<String>,
}

/// How one conflict was decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) path: String,
    pub(crate) hunk: i32,
    pub(crate) layer: String,
    pub(crate) result: String,
    pub(crate) reason: String,
    pub(crate) model: Option<String>,
    pub(crate) cost_dollars: Option<f64>,
    /// The conflict has gone through the layers again since.
    pub(crate) earlier: bool,
}

/// One run of the check command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// `None` where the stored report can't be read.
    pub(crate) verdict: Option<GateVerdict>,
    pub(crate) passed: Option<u64>,
    pub(crate) failed: Option<u64>,
    /// Tests that failed in one run and passed in another, on the same tree.
    pub(crate) flaky: Vec<String>,
    pub(crate) duration_ms: Option<u64>,
    /// The last lines of its output, where it did not pass, or why its report can't be read.
    pub(crate) output_end: Vec<String>,
}

/// All runs of the check command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GateSums {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) could_not_run: usize,
    pub(crate) unchecked: usize,
    /// Tests of the last tree that passed, where their number is known.
    pub(crate) tests: Option<u64>,
    /// Tests that failed in one run and passed in another, on the same tree.
    pub(crate) flaky: BTreeSet<String>,
}

impl Report {
    /// From what the server says.
    pub(crate) fn new(run: Run, tasks: Vec<Task>, merges: Vec<Merge>, changes: Option<Changes>) -> Self {
        let merges: Vec<MergeReport> = merges.into_iter().map(MergeReport::new).collect();
        let duration = run.ended_at.map(|end| end - run.created_at);
        Self {
            short: run.short,
            state: run.state,
            reason: run.reason,
            objective: run.objective,
            repository: run.workspace_path,
            branch: run.branch,
            base: run.base_commit,
            commit: run.delivered_commit,
            checkout: run.checkout,
            delivery: run.delivery,
            expired_at: run.expired_at,
            duration_ms: duration.map(|duration| duration.whole_milliseconds() as i64),
            tasks: tasks.into_iter().map(TaskReport::new).collect(),
            gate: GateSums::of(&merges),
            merges,
            check: run.check,
            integrity_flags: run.integrity_flags,
            allow_integrity_flags: run.allow_integrity_flags,
            changes,
            cost: run.cost,
        }
    }

    /// Merges in which something met.
    pub(crate) fn conflicted(&self) -> impl Iterator<Item = &MergeReport> {
        self.merges.iter().filter(|merge| !merge.conflicts.is_empty())
    }

    /// Merges that wait for a person.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &MergeReport> {
        self.merges.iter().filter(|merge| merge.state == MergeState::Waiting)
    }

    /// The attempts that did not land, task by task, each with its merge where it has one.
    pub(crate) fn returned(&self) -> impl Iterator<Item = (&TaskReport, &ReturnedAttempt, Option<&MergeReport>)> {
        self.tasks.iter().flat_map(move |task| {
            task.returned.iter().map(move |returned| {
                let merge = self.merges.iter().find(|merge| Some(merge.id) == returned.merge);
                (task, returned, merge)
            })
        })
    }
}

/// What a task does or waits for; `None` once it has ended.
fn standing(task: &Task) -> Option<String> {
    (!task.state.is_final()).then(|| task.status_text.clone())
}

impl TaskReport {
    fn new(task: Task) -> Self {
        Self {
            standing: standing(&task),
            key: task.key,
            profile: task.profile,
            state: task.state,
            reason: task.reason,
            attempts: task.attempts,
            returned: task.returned,
            turns: task.turns,
            cost_dollars: task.cost_dollars,
            landed_commit: task.landed_commit,
            duration_ms: task.duration_ms,
        }
    }
}

impl MergeReport {
    fn new(merge: Merge) -> Self {
        let conflicts = merge
            .conflicts
            .as_array()
            .map(|files| files.iter().map(Conflict::new).collect());
        let decisions = merge.resolutions.into_iter().map(|resolution| Decision {
            path: resolution.path,
            hunk: resolution.hunk,
            layer: resolution.layer,
            result: resolution.result,
            reason: clean(&resolution.reason),
            model: resolution.model.as_deref().map(clean),
            cost_dollars: resolution.cost_dollars,
            earlier: resolution.superseded,
        });
        Self {
            id: merge.id,
            task: merge.task,
            attempt: merge.attempt,
            state: merge.state,
            conflicts: conflicts.unwrap_or_default(),
            resolutions: decisions.collect(),
            gate: merge.gate.as_ref().map(Gate::new),
            reason: merge.reason,
        }
    }
}

impl Conflict {
    /// A conflict is recorded as the git room has it; a bare path is one whose versions are not known.
    fn new(file: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let blob = |side: &str| file.get(side).and_then(|version| version.get("blob")).and_then(text);
        Self {
            path: file
                .get("path")
                .and_then(text)
                .or_else(|| text(file))
                .unwrap_or_default(),
            kind: file.get("kind").and_then(text).unwrap_or_else(|| "other".to_owned()),
            base: blob("base"),
            ours: blob("ours"),
            theirs: blob("theirs"),
        }
    }
}

impl Gate {
    fn new(gate: &Recorded<GateReport>) -> Self {
        match gate {
            Recorded::Read(report) => Self {
                verdict: Some(report.verdict),
                passed: report.passed,
                failed: report.failed,
                flaky: report.flaky.iter().map(|name| clean(name)).collect(),
                duration_ms: Some(report.duration_ms),
                output_end: last_lines(report.failed_output().unwrap_or_default()),
            },
            Recorded::Unreadable { unreadable } => Self {
                verdict: None,
                passed: None,
                failed: None,
                flaky: Vec::new(),
                duration_ms: None,
                output_end: vec![clean(unreadable)],
            },
        }
    }
}

/// Where runners sum up.
fn last_lines(output: &str) -> Vec<String> {
    let lines: Vec<String> = output.lines().map(clean).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].to_vec()
}

impl GateSums {
    fn of(merges: &[MergeReport]) -> Self {
        let gates: Vec<&Gate> = merges.iter().filter_map(|merge| merge.gate.as_ref()).collect();
        let count = |verdict: GateVerdict| gates.iter().filter(|gate| gate.verdict == Some(verdict)).count();
        let landed = merges.iter().rev().find(|merge| merge.state == MergeState::Landed);
        Self {
            passed: count(GateVerdict::Passed),
            failed: count(GateVerdict::Failed),
            could_not_run: count(GateVerdict::CouldNotRun),
            unchecked: count(GateVerdict::NotConfigured),
            tests: landed
                .and_then(|merge| merge.gate.as_ref())
                .and_then(|gate| gate.passed),
            flaky: gates.iter().flat_map(|gate| gate.flaky.iter().cloned()).collect(),
        }
    }
}
