//! The gate: the check command on a tree, in a throwaway checkout inside a sandbox.
//!
//! Red is not the last word: tests that fail on the run's base too are not held against the work, and a test that
//! fails in one run and passes in the next on the very same tree is reported as flaky. Nor is green: where the work
//! changes what decides the check ([`integrity`](super::integrity)), the check has to pass with that as it was, too.

mod counts;
mod earlier;
mod report;
mod run;

pub(super) use earlier::EarlierChecks;
pub(super) use report::CheckResult;

use super::{Failure, entry::Entry, integrity, ran::Ran};
use crate::context::blocking;
use domain::{
    CommitId,
    event::Event,
    gate::{GateReport, GateVerdict},
    integrity::IntegrityFlag,
};
use earlier::Red;
use run::{Gate, GateError};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use telemetry::{merge::GateResult, span::SpanKind};
use tokio_util::sync::CancellationToken;

/// The event that records a report.
pub(super) fn finished(entry: &Entry, report: &GateReport) -> Event {
    Event::GateFinished {
        merge: entry.merge.id,
        verdict: report.verdict,
        passed: report.passed,
        failed: report.failed,
        flaky: report.flaky.iter().cloned().collect(),
        duration_ms: report.duration_ms,
    }
}

/// Judges a merge commit and records the verdict. One in its turn waits for a place among all that are.
pub(super) async fn judge_in_turn(
    entry: &Entry,
    tip: &CommitId,
    commit: &CommitId,
    cancel: &CancellationToken,
    in_turn: bool,
) -> Result<GateReport, Failure> {
    let _place = match in_turn {
        true => {
            let place = cancel.run_until_cancelled(entry.branch.gates.in_turn.acquire()).await;
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
) -> Result<GateReport, Failure> {
    let started = Instant::now();
    let mut span = telemetry::span::child(&entry.trace, SpanKind::Gate);
    let judged = check(entry, tip, commit, cancel).await;
    if let Err(failure) = &judged {
        // A gate without a verdict: what it was built on failed, or the server stops.
        span.fail(match failure {
            Failure::Stopped => "stopped",
            _ => "could_not_judge",
        });
    }
    let Judged { report, flags } = judged?;
    let took = started.elapsed();
    if !report.verdict.lands() {
        span.fail(report.verdict.as_str());
    }
    drop(span);
    entry.gated(commit, &report, finished(entry, &report), &flags).await?;
    tell(&report, took);
    Ok(report)
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

/// The report on a merge, and what was found about its integrity.
struct Judged {
    report: GateReport,
    flags: Vec<IntegrityFlag>,
}

async fn check(
    entry: &Entry,
    tip: &CommitId,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<Judged, Failure> {
    let command = entry
        .branch
        .details
        .check
        .as_ref()
        .and_then(|check| check.command.clone());
    let Some(command) = command else {
        return Ok(Judged {
            report: GateReport::not_configured(),
            flags: integrity::of_tree(entry, tip, commit).await?,
        });
    };
    let inspection = integrity::inspect(entry, &command, tip, commit).await?;
    let layout = &entry.branch.context.layout;
    let gate = Gate {
        entry,
        command,
        cache: entry
            .branch
            .gates
            .build_caches
            .take(&layout.build_cache(&entry.branch.details.hub)),
        cancel,
    };
    let log = layout.gate_output(entry.branch.details.id, entry.merge.id);
    let result = tried(&gate, commit, log, !inspection.is_forging()).await?;
    if !result.lands() {
        let flags = inspection.conclude(&result, None, None).flags;
        return Ok(Judged {
            report: result.report,
            flags,
        });
    }
    let restored = with_restored(&gate, commit, &inspection).await?;
    let before = match inspection.is_compared(&result.how_ran()) {
        true => Some(ran_before(&gate, tip).await?),
        false => entry.branch.gates.earlier.ran(&gate.on(tip)),
    };
    let concluded = inspection.conclude(&result, restored.as_ref(), before.as_ref());
    let result = match (concluded.refused, restored) {
        (Some(why), Some(restored)) => result.rejected(why, restored),
        (_, _) => {
            entry.branch.gates.earlier.learn_ran(gate.on(commit), result.how_ran());
            result
        }
    };
    Ok(Judged {
        report: result.report,
        flags: concluded.flags,
    })
}

/// The check on a tree, beside what fails on the base where that excuses anything, and again where tests may be flaky.
async fn tried(gate: &Gate<'_>, commit: &CommitId, log: PathBuf, excuses: bool) -> Result<CheckResult, GateError> {
    let (layout, details) = (&gate.entry.branch.context.layout, &gate.entry.branch.details);
    let place = layout.gate(details.id, gate.entry.merge.id, gate.entry.branch.lock.fence());
    let mut result = gate.run(commit, place.clone(), log.clone()).await?;
    let may_be_excused = result.report.verdict == GateVerdict::Failed && !result.report.failing.is_empty();
    let red = match may_be_excused && excuses {
        true => red_base(gate).await?,
        false => Red::default(),
    };
    for _ in 0..gate.entry.branch.context.settings.gate_reruns {
        if !result.may_be_flaky() || result.only_fails(&red) {
            break;
        }
        result = result.with(gate.run(commit, place.clone(), log.clone()).await?);
    }
    Ok(result.beside(&red))
}

/// The check once more, on the tree with what decides it as it was before the work; `None` where nothing of it was
/// changed by a task that it is not given to.
async fn with_restored(
    gate: &Gate<'_>,
    commit: &CommitId,
    inspection: &integrity::Inspection,
) -> Result<Option<CheckResult>, GateError> {
    let files = inspection.restored().to_vec();
    if files.is_empty() {
        return Ok(None);
    }
    let (hub, at) = (gate.entry.branch.hub.clone(), commit.clone());
    let stamp = gate.entry.branch.context.stamp("With the check as it was".to_owned());
    let restored = blocking(move || hub.commit_with(&at, &files, &stamp)).await?;
    let layout = &gate.entry.branch.context.layout;
    let log = layout
        .gate_output(gate.entry.branch.details.id, gate.entry.merge.id)
        .with_added_extension("before");
    let result = tried(gate, &restored, log.clone(), !inspection.is_forging()).await?;
    drop(tokio::fs::remove_file(log).await);
    Ok(Some(result))
}

/// How many tests ran before the work: on the commit it was merged onto, else on the base of the run.
async fn ran_before(gate: &Gate<'_>, tip: &CommitId) -> Result<Ran, GateError> {
    let known = &gate.entry.branch.gates.earlier;
    if let Some(ran) = known.ran(&gate.on(tip)) {
        return Ok(ran);
    }
    let Some(base) = &gate.entry.branch.details.base else {
        return Ok(Ran::default());
    };
    match known.ran(&gate.on(base)) {
        Some(ran) => Ok(ran),
        None => Ok(on_base(gate, base).await?.how_ran()),
    }
}

/// What fails on the base of the run. A run of the check that did not come to its end, or whose output is cut, excuses
/// nothing.
async fn red_base(gate: &Gate<'_>) -> Result<Red, GateError> {
    let (known, run) = (&gate.entry.branch.gates.earlier, gate.entry.branch.details.id);
    if let Some(red) = known.known(run) {
        return Ok(red);
    }
    let Some(base) = &gate.entry.branch.details.base else {
        return Ok(Red::default());
    };
    let on_base = on_base(gate, base).await?;
    let red = match on_base.is_whole() {
        true => Red::from(on_base),
        false => Red::default(),
    };
    known.learn(run, red.clone());
    Ok(red)
}

/// The check on the base of the run.
async fn on_base(gate: &Gate<'_>, base: &CommitId) -> Result<CheckResult, GateError> {
    let entry = gate.entry;
    let place =
        entry
            .branch
            .context
            .layout
            .gate_base(entry.branch.details.id, entry.merge.id, entry.branch.lock.fence());
    let log = place.with_added_extension("log");
    let result = gate.run(base, place, log.clone()).await?;
    // The base's output is of no use once it is read.
    drop(tokio::fs::remove_file(log).await);
    entry.branch.gates.earlier.learn_ran(gate.on(base), result.how_ran());
    Ok(result)
}
