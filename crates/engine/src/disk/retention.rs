//! Retention: deletes the data of ended runs (snapshots, submissions, candidates and integration branches in the hubs, and
//! outputs of commands) when they are old ([`round`]), or when the data directory exceeds its bound ([`bound`]). Delivered
//! branches are in the users' repositories, which are not changed.
//!
//! A run is first marked as expired, under the lock of its row; then the data of every expired run is deleted. After a crash
//! in between the next round finds the rest. One process at a time does this, under the lease `retention`, which is
//! checked before each deletion.

mod bound;
mod report;
mod round;

pub use report::{CleanMode, Cleaned, CleanedCache, CleanedRun};

use super::Disk;
use crate::context::StepError;
use domain::{RunId, input::Input, transition::Refusal};
use round::Round;
use std::time::Duration;
use store::{lease::Lease, retention::RETENTION_LEASE};

/// The time between two rounds, also across restarts.
const EVERY: Duration = Duration::from_secs(3_600);
/// The least time from a start to its first round: not during a command that only reads.
const FIRST: Duration = Duration::from_secs(10);
/// The time to the next round after a failed one.
const AGAIN: Duration = Duration::from_secs(300);

/// Why a round ended early. The next one continues.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A hub or outputs could not be pruned.
    #[error(transparent)]
    Git(#[from] git::GitError),
    /// Another process holds the lease.
    #[error("another process holds the lease `{RETENTION_LEASE}`")]
    Held,
}

/// Runs until the engine stops.
pub(crate) async fn keep(disk: Disk) {
    let (context, stop) = (&disk.context, disk.context.stop.clone());
    if context.settings.keep_runs.is_none() && context.settings.disk_bound_bytes.is_none() {
        return;
    }
    let since = context.store.since_cleaned(context.holder).await.unwrap_or_default();
    let mut wait = since.map_or(FIRST, |since| EVERY.saturating_sub(since).max(FIRST));
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = EVERY;
        match disk.clean(None, CleanMode::Remove).await {
            Ok(cleaned) if cleaned.is_nothing() => {}
            Ok(cleaned) => tracing::info!(%cleaned, "Deleted data of old runs"),
            Err(RetentionError::Held) => wait = AGAIN,
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::warn!(%error, "Could not delete data of old runs; retrying later");
                wait = AGAIN;
            }
        }
    }
}

impl Disk {
    /// See [`crate::Engine::clean`].
    pub(crate) async fn clean(&self, older_than: Option<Duration>, mode: CleanMode) -> Result<Cleaned, RetentionError> {
        let kept = older_than.or(self.context.settings.keep_runs);
        if mode == CleanMode::DryRun {
            return Round::new(self, None).whole(kept).await;
        }
        let _alone = self.cleaning.lock().await;
        let (store, holder) = (&self.context.store, self.context.holder);
        let lease = store.take_lease(RETENTION_LEASE, holder).await?;
        let lease = lease.ok_or(RetentionError::Held)?;
        let done = Round::new(self, Some(&lease)).whole(kept).await;
        if done.is_ok() {
            store.cleaned(holder).await?;
        }
        store.drop_lease(&lease).await?;
        done
    }

    /// Marks a run as expired; `false` if something of it is still open.
    async fn expire(&self, run: RunId, lease: &Lease) -> Result<bool, RetentionError> {
        let marked = self.context.step(run, None, Input::Expired, async |tx| {
            match tx.expire_run(run, lease).await? {
                true => Ok(()),
                false => Err(StepError::Refused(Refusal::Stale("the run can't expire now".into()))),
            }
        });
        match marked.await {
            Ok(()) => Ok(true),
            Err(StepError::Refused(_) | StepError::Unknown(_)) => Ok(false),
            Err(StepError::Store(error)) => Err(error.into()),
        }
    }
}
