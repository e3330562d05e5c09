//! The gate: the check command on a tree, in a throwaway checkout inside a sandbox.
//!
//! Red is not the last word: tests that fail on the run's base too are not held against the work, and a test that
//! fails in one run and passes in the next on the very same tree is reported as flaky.

mod counts;
mod report;
mod run;

pub(super) use report::GateReport;

use super::{Failure, entry::Entry, integrity};
use domain::{CommitId, RunId, event::Fact, merge::GateVerdict};
use git::WorktreeError;
use run::{Gate, GateError};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use telemetry::{merge::GateResult, span::SpanKind};
use tokio_util::sync::CancellationToken;

/// What fails on the base of a run without any work on it.
#[derive(Clone, Debug, Default)]
struct Red {
    /// The names of the tests.
    failing: BTreeSet<String>,
    /// What breaks without being a test.
    broken: BTreeSet<String>,
    /// How many, where the output tells.
    failed: Option<u64>,
    /// How many tests ran at all.
    ran: Option<u64>,
}

/// What fails on the base of a run already, found out once for each run that needs it.
#[derive(Debug, Default)]
pub(crate) struct RedBase {
    failing: Mutex<HashMap<RunId, Red>>,
}

impl RedBase {
    /// Drops what was found out about a run that ended.
    pub(crate) fn forget(&self, run: RunId) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    fn known(&self, run: RunId) -> Option<Red> {
        let known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&run).cloned()
    }

    fn learn(&self, run: RunId, red: Red) {
        let mut known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, red);
    }
}

/// A report, and how it is recorded.
pub(super) struct Recorded {
    pub(super) report: Box<GateReport>,
    pub(super) kept: Value,
    pub(super) fact: Fact,
}

impl Recorded {
    fn new(entry: &Entry, report: GateReport) -> Result<Self, Failure> {
        let fact = Fact::GateFinished {
            merge: entry.merge.id,
            verdict: report.verdict,
            passed: report.passed,
            failed: report.failed,
            flaky: report.flaky.iter().cloned().collect(),
            duration_ms: report.duration_ms,
        };
        Ok(Self {
            kept: serde_json::to_value(&report).map_err(|error| Failure::Passing(error.to_string()))?,
            report: Box::new(report),
            fact,
        })
    }
}

/// The report where there is no gate; `None` where there is one.
pub(super) fn unchecked(entry: &Entry) -> Result<Option<Recorded>, Failure> {
    if entry.is_gated() {
        return Ok(None);
    }
    Recorded::new(entry, GateReport::not_configured()).map(Some)
}

/// Judges a merge commit and records the verdict. One in its turn waits for a place among all that are.
pub(super) async fn judge_in_turn(
    entry: &Entry,
    tip: &CommitId,
    commit: &CommitId,
    cancel: &CancellationToken,
    in_turn: bool,
) -> Result<Box<GateReport>, Failure> {
    let _place = match in_turn {
        true => {
            let place = cancel.run_until_cancelled(entry.engine.parts.gates.acquire()).await;
            Some(place.ok_or(Failure::Stopped)?)
        }
        false => None,
    };
    judge(entry, tip, commit, cancel).await
}

async fn judge(
    entry: &Entry,
    tip: &CommitId,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<Box<GateReport>, Failure> {
    let started = Instant::now();
    let mut span = telemetry::span::child(&entry.trace, SpanKind::Gate);
    let report = check(entry, commit, cancel).await.map_err(|error| match error {
        GateError::Stopped => Failure::Stopped,
        GateError::Git(error) | GateError::Checkout(WorktreeError::Git(error)) => error.into(),
        other => Failure::Passing(other.to_string()),
    })?;
    let took = started.elapsed();
    if !report.lands() {
        span.fail(report.verdict.as_str());
    }
    drop(span);
    let flags = integrity::of_tree(entry, tip, commit).await?;
    let recorded = Recorded::new(entry, report)?;
    entry.gated(commit, &recorded.kept, recorded.fact, &flags).await?;
    tell(&recorded.report, took);
    Ok(recorded.report)
}

/// Tells the metrics of a verdict.
pub(super) fn tell(report: &GateReport, took: Duration) {
    let result = match report.verdict {
        GateVerdict::Passed => GateResult::Passed,
        GateVerdict::Failed => GateResult::Failed,
        GateVerdict::CouldNotRun => GateResult::CouldNotRun,
        GateVerdict::NotConfigured => GateResult::NotConfigured,
    };
    telemetry::merge::gate_finished(result, took);
    if !report.flaky.is_empty() {
        telemetry::merge::gate_flaky();
    }
}

async fn check(entry: &Entry, commit: &CommitId, cancel: &CancellationToken) -> Result<GateReport, GateError> {
    let command = entry.facts.check.as_ref().and_then(|check| check.command.clone());
    let Some(command) = command else {
        return Ok(GateReport::not_configured());
    };
    let layout = &entry.engine.parts.layout;
    let (run, merge, fence) = (entry.facts.id, entry.merge.id, entry.fence);
    let gate = Gate {
        entry,
        command,
        cache: entry
            .engine
            .parts
            .build_caches
            .take(&layout.build_cache(&entry.facts.hub)),
        cancel,
    };
    let (place, log) = (layout.gate(run, merge, fence), layout.gate_output(run, merge));
    let mut report = gate.run(commit, place.clone(), log.clone()).await?;
    let red = match report.verdict == GateVerdict::Failed && !report.failing.is_empty() {
        true => red_base(&gate, layout.gate_base(run, merge, fence)).await?,
        false => Red::default(),
    };
    for _ in 0..entry.engine.parts.settings.gate_reruns {
        if !report.may_be_flaky() || report.only_fails(&red) {
            break;
        }
        report = report.with(gate.run(commit, place.clone(), log.clone()).await?);
    }
    Ok(report.beside(&red))
}

/// What fails on the base of the run. A run of the check that did not come to its end, or whose output is cut, excuses
/// nothing.
async fn red_base(gate: &Gate<'_>, place: std::path::PathBuf) -> Result<Red, GateError> {
    let (known, run) = (&gate.entry.engine.parts.red_base, gate.entry.facts.id);
    if let Some(red) = known.known(run) {
        return Ok(red);
    }
    let Some(base) = &gate.entry.facts.base else {
        return Ok(Red::default());
    };
    let log = place.with_added_extension("log");
    let on_base = gate.run(base, place, log.clone()).await?;
    // The base's output is of no use once its failing tests are known.
    drop(tokio::fs::remove_file(log).await);
    let red = match on_base.is_whole() {
        true => Red {
            failing: on_base.failing,
            broken: on_base.broken,
            failed: on_base.failed,
            ran: on_base.ran,
        },
        false => Red::default(),
    };
    known.learn(run, red.clone());
    Ok(red)
}
