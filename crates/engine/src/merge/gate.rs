//! The gate: judges a merge commit by the check command and records the verdict.
//!
//! A red check is not final: tests that also fail on the run's base are not held against the work, and a test that fails in
//! one run and passes in another on the same tree is reported as flaky. A green check is not final either: where the work
//! changes what decides the check ([`integrity`](super::integrity)), the check also has to pass with that as it was.

mod check;
mod counts;
mod earlier;
mod report;
mod run;

pub(super) use earlier::EarlierChecks;
pub(super) use report::CheckResult;

use super::{Failure, entry::Entry};
use domain::{
    CommitId,
    event::Event,
    gate::{GateReport, GateVerdict},
    integrity::IntegrityFlag,
};
use std::time::{Duration, Instant};
use telemetry::{merge::GateResult, span::SpanKind};
use tokio_util::sync::CancellationToken;

/// The report on a merge, with its integrity flags.
struct Judged {
    report: GateReport,
    flags: Vec<IntegrityFlag>,
}

/// Judges a merge commit and records the verdict. A gate in its turn waits for capacity among all of them; one ahead of
/// its turn has a permit already.
pub(super) async fn judge(
    entry: &Entry,
    tip: &CommitId,
    commit: &CommitId,
    cancel: &CancellationToken,
    in_turn: bool,
) -> Result<GateReport, Failure> {
    let _permit = match in_turn {
        true => {
            let permit = cancel.run_until_cancelled(entry.branch.gates.in_turn.acquire()).await;
            Some(permit.ok_or(Failure::Stopped)?)
        }
        false => None,
    };
    let started = Instant::now();
    let mut span = telemetry::span::child(&entry.trace, SpanKind::Gate);
    let judged = check::judge(entry, tip, commit, cancel).await;
    let failed = match &judged {
        Ok(Judged { report, .. }) if report.verdict.lands() => None,
        Ok(Judged { report, .. }) => Some(report.verdict.as_str()),
        Err(Failure::Stopped) => Some("stopped"),
        Err(_) => Some("could_not_judge"),
    };
    if let Some(error) = failed {
        span.fail(error);
    }
    drop(span);
    let Judged { report, flags } = judged?;
    let took = started.elapsed();
    entry
        .save_report(commit, &report, event(entry, &report), &flags)
        .await?;
    count(&report, took);
    Ok(report)
}

/// The event about a report.
pub(super) fn event(entry: &Entry, report: &GateReport) -> Event {
    Event::GateFinished {
        merge: entry.merge.id,
        verdict: report.verdict,
        passed: report.passed,
        failed: report.failed,
        flaky: report.flaky.iter().cloned().collect(),
        duration_ms: report.duration_ms,
    }
}

/// Counts a verdict.
pub(super) fn count(report: &GateReport, took: Duration) {
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
