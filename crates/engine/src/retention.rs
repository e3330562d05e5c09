//! Giving up what ended runs left: snapshots, submissions, candidates and integration branches in the hubs, and the
//! outputs of their commands. What was delivered is in the users' repositories, which are not touched.
//!
//! A run is marked first, under its row's lock; what is on the disk goes afterwards, for every run that is marked. So a
//! death in between leaves work that the next round finds, and doing it twice finds nothing. One process at a time does
//! it, under the lease `retention`, which is asked for before each step that destroys.

use crate::{
    engine::{Engine, blocking},
    step::StepError,
};
use domain::{Fence, RunId, event::Event, transition::Refusal};
use git::Hub;
use std::{collections::HashSet, fs, io, path::PathBuf, str::FromStr, time::Duration};
use store::retention::RETENTION_LEASE;

/// How often it is looked for runs that are old enough; the first time so long after the start.
const EVERY: Duration = Duration::from_secs(3_600);
/// Objects that nothing names are kept so long: longer than anybody takes from writing one to naming it.
const GRACE: Duration = Duration::from_secs(6 * 3_600);
/// Runs that are given up in one round.
const RUNS: i64 = 500;

/// What a round gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Runs that were marked.
    pub runs: u64,
    /// References that were removed.
    pub references: u64,
    /// Objects that were removed.
    pub objects: u64,
}

/// Why a round ended early. What was begun is gone on with by the next.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A hub could not be cleared.
    #[error(transparent)]
    Git(#[from] git::GitError),
    /// The outputs could not be removed.
    #[error("the outputs in {path} could not be removed: {source}")]
    Outputs {
        /// Where.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process does it, or has taken over.
    #[error("another process holds the lease `{RETENTION_LEASE}`")]
    Held,
}

/// Runs until the engine stops.
pub(crate) async fn keep(engine: Engine) {
    let Some(kept) = engine.parts.settings.keep_runs else {
        return;
    };
    let stop = engine.parts.stop.clone();
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match engine.give_up_runs(kept).await {
            Ok(given_up) if given_up == GivenUp::default() => {}
            Ok(given_up) => tracing::info!(?given_up, "what old runs left was given up"),
            Err(RetentionError::Held) => {}
            Err(error) => tracing::warn!(%error, "what old runs left is given up later"),
        }
    }
}

impl Engine {
    /// Gives up the trees and outputs of runs that ended so long ago. Again is fine.
    ///
    /// # Errors
    /// When another process does it, or the database or the disk fails.
    pub async fn give_up_runs(&self, ended_ago: Duration) -> Result<GivenUp, RetentionError> {
        let (store, holder) = (&self.parts.store, self.parts.holder);
        let fence = store.take_lease(RETENTION_LEASE, holder).await?;
        let fence = fence.ok_or(RetentionError::Held)?;
        let done = self.round(ended_ago, fence).await;
        store.drop_lease(RETENTION_LEASE, fence).await?;
        done
    }

    async fn round(&self, ended_ago: Duration, fence: Fence) -> Result<GivenUp, RetentionError> {
        let mut given_up = GivenUp::default();
        for run in self.parts.store.runs_ended_before(ended_ago, RUNS).await? {
            given_up.runs += u64::from(self.mark(run, fence).await?);
        }
        self.clear_outputs(fence).await?;
        let hubs = self.parts.layout.hubs();
        for path in blocking(move || folders(&hubs)).await {
            self.clear_hub(path, fence, &mut given_up).await?;
        }
        Ok(given_up)
    }

    /// `false` where something of the run is open after all.
    async fn mark(&self, run: RunId, fence: Fence) -> Result<bool, RetentionError> {
        let marked = self.step(run, None, Event::Expired, async |tx| {
            match tx.expire_run(run, fence).await? {
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

    async fn clear_outputs(&self, fence: Fence) -> Result<(), RetentionError> {
        let root = self.parts.layout.all_outputs();
        let listed = blocking(move || folders(&root)).await;
        let named = |path: &PathBuf| Some((RunId::from_str(path.file_name()?.to_str()?).ok()?, path.clone()));
        let outputs: Vec<(RunId, PathBuf)> = listed.iter().filter_map(named).collect();
        let runs: Vec<RunId> = outputs.iter().map(|(run, _)| *run).collect();
        let expired: HashSet<RunId> = self.parts.store.expired_among(&runs).await?.into_iter().collect();
        for (_, path) in outputs.into_iter().filter(|(run, _)| expired.contains(run)) {
            self.still_held(fence).await?;
            let shown = path.display().to_string();
            let removed = blocking(move || fs::remove_dir_all(&path)).await;
            removed.map_err(|source| RetentionError::Outputs { path: shown, source })?;
        }
        Ok(())
    }

    async fn clear_hub(&self, path: PathBuf, fence: Fence, given_up: &mut GivenUp) -> Result<(), RetentionError> {
        // One that is half made is made anew by the run that needs it.
        let Ok(hub) = blocking(move || Hub::open(&path).map(std::sync::Arc::new)).await else {
            return Ok(());
        };
        let own = hub.clone();
        let runs = blocking(move || own.runs_with_references()).await?;
        for run in self.parts.store.expired_among(&runs).await? {
            self.still_held(fence).await?;
            let own = hub.clone();
            given_up.references += blocking(move || unpin_all(&own, run)).await?;
        }
        self.still_held(fence).await?;
        let pruned = blocking(move || hub.prune(GRACE)).await?;
        given_up.objects += pruned.objects;
        Ok(())
    }

    async fn still_held(&self, fence: Fence) -> Result<(), RetentionError> {
        let parts = &self.parts;
        match parts.store.holds_lease(RETENTION_LEASE, parts.holder, fence).await? {
            true => Ok(()),
            false => Err(RetentionError::Held),
        }
    }
}

/// Removes every reference of a run, each only where it still is what was read. The integration branch goes first: as
/// long as others are there, a round that was cut short is found again.
fn unpin_all(hub: &Hub, run: RunId) -> Result<u64, git::GitError> {
    let integration = git::refs::integration(&run);
    let mut references = Vec::new();
    references.extend(hub.tip(&integration)?.map(|at| (integration, at)));
    references.extend(hub.references(&git::refs::all_of(&run))?);
    for (reference, at) in &references {
        hub.unpin(reference, at)?;
    }
    Ok(references.len() as u64)
}

fn folders(path: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
