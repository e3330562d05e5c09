//! Giving up what ended runs left: snapshots, submissions, candidates and integration branches in the hubs, and the
//! outputs of their commands, when they are old ([`round`]), or when the data directory is over its bound ([`room`]).
//! What was delivered is in the users' repositories, which are not touched.
//!
//! A run is marked first, under its row's lock; what is on the disk goes afterwards, for every run that is marked. So a
//! death in between leaves work that the next round finds, and doing it twice finds nothing. One process at a time does
//! it, under the lease `retention`, which is asked for before each step that destroys.

mod report;
mod room;
mod round;

pub use report::{CleanMode, Cleaned, CleanedCache, CleanedRun};

use super::Disk;
use crate::context::StepError;
use domain::{RunId, input::Input, transition::Refusal};
use round::Round;
use std::time::Duration;
use store::{lease::Lease, retention::RETENTION_LEASE};

/// How often it is looked for runs that are old enough, counted across the lives of the process.
const EVERY: Duration = Duration::from_secs(3_600);
/// How soon after a start at the earliest: not beside a command that only looks.
const FIRST: Duration = Duration::from_secs(10);
/// How soon after a round that failed.
const AGAIN: Duration = Duration::from_secs(300);

/// Why a round ended early. What was begun is gone on with by the next.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A hub could not be cleared, or outputs not be removed.
    #[error(transparent)]
    Git(#[from] git::GitError),
    /// Another process does it, or has taken over.
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
            Ok(cleaned) => tracing::info!(%cleaned, "what old runs left was given up"),
            Err(RetentionError::Held) => wait = AGAIN,
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::warn!(%error, "what old runs left is given up later");
                wait = AGAIN;
            }
        }
    }
}

impl Disk {
    /// What [`crate::Engine::clean`] does.
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

    /// `false` where something of the run is open after all.
    async fn expire(&self, run: RunId, lease: &Lease) -> Result<bool, RetentionError> {
        let marked = self.context.step(run, None, Input::Expired, async |tx| {
            match tx.expire_run(run, lease).await? {
                true => Ok(()),
                false => Err(StepError::Refused(Refusal::Stale(
                    "it is not to be given up now".into(),
                ))),
            }
        });
        match marked.await {
            Ok(()) => Ok(true),
            Err(StepError::Refused(_) | StepError::Unknown(_)) => Ok(false),
            Err(StepError::Store(error)) => Err(error.into()),
        }
    }
}
