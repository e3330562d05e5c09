//! One judgement: the check on the tree, its reruns, and its comparison with the base and with restored files.

use super::{
    super::{Failure, entry::Entry, integrity, totals::TestTotals},
    CheckResult, Judged,
    earlier::BaseFailures,
    run::{Gate, GateError},
};
use crate::context::blocking;
use domain::{
    CommitId,
    gate::{GateReport, GateVerdict},
};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

pub(super) async fn judge(
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
    let result = run_with_reruns(&gate, commit, log, !inspection.is_forging()).await?;
    if !result.lands() {
        let flags = inspection.conclude(&result, None, None).flags;
        return Ok(Judged {
            report: result.report,
            flags,
        });
    }
    let restored = with_restored(&gate, commit, &inspection).await?;
    let before = match inspection.is_compared(&result.totals()) {
        true => Some(totals_before(&gate, tip).await?),
        false => entry.branch.gates.earlier.totals(&gate.on(tip)),
    };
    let concluded = inspection.conclude(&result, restored.as_ref(), before.as_ref());
    let result = match (concluded.refused, restored) {
        (Some(why), Some(restored)) => result.rejected(why, restored),
        (_, _) => {
            entry.branch.gates.earlier.save_totals(gate.on(commit), result.totals());
            result
        }
    };
    Ok(Judged {
        report: result.report,
        flags: concluded.flags,
    })
}

/// Runs the check on a tree, again where tests may be flaky, and excuses what also fails on the base.
async fn run_with_reruns(
    gate: &Gate<'_>,
    commit: &CommitId,
    log: PathBuf,
    excuses: bool,
) -> Result<CheckResult, GateError> {
    let (layout, details) = (&gate.entry.branch.context.layout, &gate.entry.branch.details);
    let place = layout.gate(details.id, gate.entry.merge.id, gate.entry.branch.lock.fence());
    let mut result = gate.run(commit, place.clone(), log.clone()).await?;
    let may_be_excused = result.report.verdict == GateVerdict::Failed && !result.report.failing.is_empty();
    let base = match may_be_excused && excuses {
        true => failures_on_base(gate).await?,
        false => BaseFailures::default(),
    };
    for _ in 0..gate.entry.branch.context.settings.gate_reruns {
        if !result.may_be_flaky() || result.only_fails(&base) {
            break;
        }
        result = result.with(gate.run(commit, place.clone(), log.clone()).await?);
    }
    Ok(result.beside(&base))
}

/// Runs the check on the tree with the files that decide it as they were before the work; `None` where the work changed
/// none of them, or only its own.
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
    let result = run_with_reruns(gate, &restored, log.clone(), !inspection.is_forging()).await?;
    drop(tokio::fs::remove_file(log).await);
    Ok(Some(result))
}

/// The totals before the work: on the commit it was merged onto, else on the base of the run.
async fn totals_before(gate: &Gate<'_>, tip: &CommitId) -> Result<TestTotals, GateError> {
    let known = &gate.entry.branch.gates.earlier;
    if let Some(ran) = known.totals(&gate.on(tip)) {
        return Ok(ran);
    }
    let Some(base) = &gate.entry.branch.details.base else {
        return Ok(TestTotals::default());
    };
    match known.totals(&gate.on(base)) {
        Some(ran) => Ok(ran),
        None => Ok(run_on_base(gate, base).await?.totals()),
    }
}

/// What fails on the base of the run. A check that was ended early, or whose output is cut, excuses nothing.
async fn failures_on_base(gate: &Gate<'_>) -> Result<BaseFailures, GateError> {
    let (known, run) = (&gate.entry.branch.gates.earlier, gate.entry.branch.details.id);
    if let Some(failures) = known.known(run) {
        return Ok(failures);
    }
    let Some(base) = &gate.entry.branch.details.base else {
        return Ok(BaseFailures::default());
    };
    let on_base = run_on_base(gate, base).await?;
    let failures = match on_base.is_complete() {
        true => BaseFailures::from(on_base),
        false => BaseFailures::default(),
    };
    known.learn(run, failures.clone());
    Ok(failures)
}

/// Runs the check on the base of the run.
async fn run_on_base(gate: &Gate<'_>, base: &CommitId) -> Result<CheckResult, GateError> {
    let entry = gate.entry;
    let place =
        entry
            .branch
            .context
            .layout
            .gate_base(entry.branch.details.id, entry.merge.id, entry.branch.lock.fence());
    let log = place.with_added_extension("log");
    let result = gate.run(base, place, log.clone()).await?;
    // Already read.
    drop(tokio::fs::remove_file(log).await);
    entry.branch.gates.earlier.save_totals(gate.on(base), result.totals());
    Ok(result)
}
