//! The gate: the check command on a tree, in a throwaway checkout inside a sandbox.

use super::counts::{self, Counts};
use crate::engine::{Engine, blocking};
use domain::{CommitId, Fence, MergeId, RunId, merge::GateVerdict, run::Check};
use git::{Hub, WorktreeStart};
use sandbox::{Exit, Job};
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::run::RunFacts;

/// How much of an output is kept in the database: the end, where runners sum up.
const KEPT_OUTPUT_BYTES: usize = 16 << 10;

/// What the gate said, as it is kept and shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GateReport {
    pub(crate) verdict: GateVerdict,
    pub(crate) command: Option<String>,
    /// In words: `exit code 1`, `time limit`, …
    pub(crate) exit: String,
    pub(crate) passed: Option<u64>,
    pub(crate) failed: Option<u64>,
    pub(crate) failing: BTreeSet<String>,
    pub(crate) duration_ms: u64,
    /// Why the verdict is what it is, where the exit alone does not tell.
    pub(crate) note: Option<String>,
    pub(crate) output: String,
    /// Where the whole output lies.
    pub(crate) output_file: Option<PathBuf>,
}

impl GateReport {
    fn not_configured() -> Self {
        Self {
            verdict: GateVerdict::NotConfigured,
            command: None,
            exit: "not run".into(),
            passed: None,
            failed: None,
            failing: BTreeSet::new(),
            duration_ms: 0,
            note: Some("no check command is configured or detected: this merge is unchecked".into()),
            output: String::new(),
            output_file: None,
        }
    }

    /// A sentence for the log and for the worker.
    pub(crate) fn sentence(&self) -> String {
        let command = self.command.as_deref().unwrap_or_default();
        let tests = match (self.passed, self.failed) {
            (Some(passed), Some(failed)) => format!(", {passed} tests passed and {failed} failed"),
            _ => String::new(),
        };
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!(
            "the check `{command}` on the merged tree ended with {}{tests}{note}",
            self.exit
        )
    }
}

/// Which tests fail on the base of a run already, found out once for each run that needs it.
#[derive(Debug, Default)]
pub(crate) struct RedBase {
    failing: Mutex<HashMap<RunId, BTreeSet<String>>>,
}

impl RedBase {
    /// Drops what was found out about a run that ended.
    pub(crate) fn forget(&self, run: RunId) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    fn known(&self, run: RunId) -> Option<BTreeSet<String>> {
        self.failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&run)
            .cloned()
    }

    fn learn(&self, run: RunId, failing: BTreeSet<String>) {
        self.failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run, failing);
    }
}

/// Why there is no report: the machine or the sandbox failed, or the process is being stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    #[error("the check was put down because the process is being stopped")]
    Stopped,
    #[error(transparent)]
    Git(#[from] git::GitError),
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxError),
    #[error(transparent)]
    Checkout(#[from] git::WorktreeError),
}

/// Runs the check on a merged tree. A red result is compared with the base: only tests that fail there too may
/// fail here.
pub(crate) async fn check_merge(
    engine: &Engine,
    facts: &RunFacts,
    hub: &Arc<Hub>,
    merge: MergeId,
    fence: Fence,
    commit: &CommitId,
) -> Result<GateReport, GateError> {
    let check = facts.check.clone().unwrap_or(Check {
        command: None,
        source: domain::run::CheckSource::NotConfigured,
    });
    let Some(command) = check.command else {
        return Ok(GateReport::not_configured());
    };
    let gate = Gate {
        engine,
        facts,
        hub,
        command,
    };
    let place = engine.parts.layout.gate(facts.id, merge, fence);
    let output_file = engine.parts.layout.gate_output(facts.id, merge);
    let report = gate.run(commit, place, output_file).await?;
    if report.verdict != GateVerdict::Failed || report.failing.is_empty() {
        return Ok(report);
    }
    gate.compare_with_base(report, engine.parts.layout.gate_base(facts.id, merge, fence))
        .await
}

struct Gate<'a> {
    engine: &'a Engine,
    facts: &'a RunFacts,
    hub: &'a Arc<Hub>,
    command: String,
}

impl Gate<'_> {
    /// The check on one tree. The checkout is removed whatever happens.
    async fn run(&self, commit: &CommitId, place: PathBuf, output_file: PathBuf) -> Result<GateReport, GateError> {
        let (hub, at, checkout) = (self.hub.clone(), commit.clone(), place.clone());
        blocking(move || hub.add_worktree(&checkout, &WorktreeStart::At(at))).await?;
        let finished = self.run_in(&place, &output_file).await;
        let hub = self.hub.clone();
        if let Err(error) = blocking(move || hub.remove_worktree(&place)).await {
            tracing::warn!(%error, "the checkout of a gate could not be removed");
        }
        finished
    }

    async fn run_in(&self, place: &std::path::Path, output_file: &std::path::Path) -> Result<GateReport, GateError> {
        if let Some(folder) = output_file.parent() {
            // Without the folder only the whole output is missing; the report keeps its end.
            drop(tokio::fs::create_dir_all(folder).await);
        }
        let parts = &self.engine.parts;
        let cache = parts.layout.build_cache(&self.facts.hub).join("gate");
        match tokio::fs::try_exists(&cache).await {
            Ok(true) => telemetry::sandbox::cache_hit(),
            Ok(false) | Err(_) => telemetry::sandbox::cache_miss(),
        }
        let mut job = Job::shell(&self.command, place.to_path_buf());
        job.hub = Some(self.hub.path().to_path_buf());
        job.time_limit = Duration::from_secs(self.facts.limits.gate_s);
        job.output_limit_bytes = self.facts.limits.output_bytes as usize;
        job.output_file = output_file
            .parent()
            .is_some_and(|folder| folder.is_dir())
            .then(|| output_file.to_path_buf());
        job.extra_read_only = parts.extra_read_only(&self.facts.workspace_path);
        if tokio::fs::create_dir_all(&cache).await.is_ok() {
            job.env
                .push(("CARGO_TARGET_DIR".into(), cache.join("target").display().to_string()));
            job.extra_read_write.push(cache);
        }
        job.cancel = parts.drain.child_token();
        let finished = parts.sandbox.run(job).await?;
        if finished.exit == Exit::Cancelled {
            return Err(GateError::Stopped);
        }
        Ok(judge(&self.command, &finished, output_file, self.facts.limits.gate_s))
    }

    async fn compare_with_base(&self, mut report: GateReport, place: PathBuf) -> Result<GateReport, GateError> {
        let run = self.facts.id;
        let red = match self.engine.parts.red_base.known(run) {
            Some(red) => red,
            None => {
                let Some(base) = &self.facts.base else {
                    return Ok(report);
                };
                let output_file = place.with_added_extension("log");
                let on_base = self.run(base, place, output_file.clone()).await?;
                // The base's output is of no use once its failing tests are known.
                drop(tokio::fs::remove_file(output_file).await);
                self.engine.parts.red_base.learn(run, on_base.failing.clone());
                on_base.failing
            }
        };
        if !red.is_empty() && report.failing.is_subset(&red) {
            report.verdict = GateVerdict::Passed;
            report.note = Some(format!(
                "the base is red: the {} failing tests fail there too, and nothing new fails",
                report.failing.len()
            ));
        }
        Ok(report)
    }
}

/// From how the command ended to a verdict. Being unable to run is never a pass, and neither is running no test.
fn judge(command: &str, finished: &sandbox::Finished, output_file: &std::path::Path, limit_s: u64) -> GateReport {
    let Counts {
        passed,
        failed,
        failing,
    } = counts::read(&finished.output_head_tail);
    let ran_none = passed == Some(0) && failed == Some(0);
    let (verdict, exit, note) = match finished.exit {
        Exit::Code(0) if ran_none => (
            GateVerdict::CouldNotRun,
            "exit code 0".to_owned(),
            Some("it ran no test at all".to_owned()),
        ),
        Exit::Code(0) if failed.is_some_and(|failed| failed > 0) => (
            GateVerdict::Failed,
            "exit code 0".to_owned(),
            Some("its own output counts failing tests".to_owned()),
        ),
        Exit::Code(0) => (GateVerdict::Passed, "exit code 0".to_owned(), None),
        Exit::Code(code @ (126 | 127)) => (
            GateVerdict::CouldNotRun,
            format!("exit code {code}"),
            Some("the command could not be started".to_owned()),
        ),
        Exit::Code(code) => (GateVerdict::Failed, format!("exit code {code}"), None),
        Exit::Signal(signal) => (GateVerdict::CouldNotRun, format!("signal {signal}"), None),
        Exit::TimedOut => (
            GateVerdict::Failed,
            "the time limit".to_owned(),
            Some(format!("it was ended after {limit_s} s (limit gate_s)")),
        ),
        Exit::Cancelled => (GateVerdict::CouldNotRun, "being cancelled".to_owned(), None),
    };
    GateReport {
        verdict,
        command: Some(command.to_owned()),
        exit,
        passed,
        failed,
        failing,
        duration_ms: finished.duration.as_millis() as u64,
        note,
        output: telemetry::secrets::redact(tail(&finished.output_head_tail, KEPT_OUTPUT_BYTES)),
        output_file: finished.output_cut.then(|| output_file.to_path_buf()),
    }
}

/// The end of a text, beginning at a line where there is one.
fn tail(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut start = text.len() - bytes;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = &text[start..];
    cut.find('\n').map_or(cut, |line| &cut[line + 1..])
}
