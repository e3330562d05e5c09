//! One run of the check on one tree.

use super::{
    super::{Failure, build_caches::BuildCache, entry::Entry},
    report::CheckResult,
};
use crate::context::blocking;
use domain::CommitId;
use git::{WorktreeError, WorktreeStart};
use sandbox::{Exit, Job};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Why there is no report: the machine or the sandbox failed, or the check was stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    #[error("the check was stopped")]
    Stopped,
    #[error(transparent)]
    Git(#[from] git::GitError),
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxError),
    #[error(transparent)]
    Checkout(#[from] git::WorktreeError),
}

/// The check of one merge.
pub(super) struct Gate<'a> {
    pub(super) entry: &'a Entry,
    pub(super) command: String,
    /// Build output of earlier gates, not shared while this one runs.
    pub(super) cache: BuildCache,
    pub(super) cancel: &'a CancellationToken,
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Stopped => Self::Stopped,
            GateError::Git(error) | GateError::Checkout(WorktreeError::Git(error)) => error.into(),
            other => Self::transient(other),
        }
    }
}

impl Gate<'_> {
    /// The key of this check on a commit in [`EarlierChecks`](super::EarlierChecks).
    pub(super) fn on(&self, commit: &CommitId) -> (String, CommitId, String) {
        (
            self.entry.branch.details.hub.clone(),
            commit.clone(),
            self.command.clone(),
        )
    }

    /// Runs the check on one tree. The checkout is always removed.
    pub(super) async fn run(&self, commit: &CommitId, place: PathBuf, log: PathBuf) -> Result<CheckResult, GateError> {
        let (hub, at, checkout) = (self.entry.branch.hub.clone(), commit.clone(), place.clone());
        let finished = match blocking(move || hub.add_worktree(&checkout, &WorktreeStart::At(at))).await {
            Ok(_) => self.run_in(&place, &log).await,
            Err(error @ WorktreeError::Occupied { .. }) => return Err(error.into()),
            // A partial checkout is removed like a complete one.
            Err(error) => Err(error.into()),
        };
        let hub = self.entry.branch.hub.clone();
        if let Err(error) = blocking(move || hub.remove_worktree(&place)).await {
            tracing::warn!(%error, "could not remove a gate's checkout");
        }
        finished
    }

    async fn run_in(&self, place: &Path, log: &Path) -> Result<CheckResult, GateError> {
        if let Some(directory) = log.parent() {
            // Without the directory only the whole output is missing; the report keeps its end.
            drop(tokio::fs::create_dir_all(directory).await);
        }
        let (context, details) = (&self.entry.branch.context, &self.entry.branch.details);
        let cache = &self.cache.path;
        match tokio::fs::try_exists(cache).await {
            Ok(true) => telemetry::sandbox::cache_hit(),
            Ok(false) | Err(_) => telemetry::sandbox::cache_miss(),
        }
        let mut job = Job::shell(&self.command, place.to_path_buf());
        job.hub = Some(self.entry.branch.hub.path().to_path_buf());
        job.time_limit = Duration::from_secs(details.limits.gate_s);
        job.output_limit_bytes = details.limits.output_bytes as usize;
        job.output_file = log.parent().is_some_and(Path::is_dir).then(|| log.to_path_buf());
        job.extra_read_only = context.extra_read_only(&details.workspace_path);
        if tokio::fs::create_dir_all(cache).await.is_ok() {
            let target = cache.join("target").display().to_string();
            job.env.push(("CARGO_TARGET_DIR".into(), target));
            job.extra_read_write.push(cache.clone());
        }
        job.cancel = self.cancel.clone();
        let finished = context.sandbox.run(job).await?;
        if finished.exit == Exit::Cancelled {
            return Err(GateError::Stopped);
        }
        Ok(CheckResult::read(&self.command, &finished, log, details.limits.gate_s))
    }
}
