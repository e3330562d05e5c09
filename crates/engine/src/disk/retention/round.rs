//! One round: expires old runs and finishes what an earlier round left.

use super::{
    Cleaned, RetentionError,
    report::{Age, GRACE},
};
use crate::{
    context::blocking,
    disk::{
        Disk,
        usage::{Area, directory_bytes},
    },
    settings::Retention,
};
use domain::{CommitId, RunId};
use git::Hub;
use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use store::{lease::Lease, retention::EndedRun};

/// The most runs that expire in one round.
const RUNS: i64 = 500;

/// A running round.
pub(super) struct Round<'a> {
    pub(super) disk: &'a Disk,
    /// Checked before each deletion; `None` in a dry run, which deletes nothing.
    pub(super) lease: Option<&'a Lease>,
    /// Runs that expired in this round, or would.
    pub(super) marked: HashSet<RunId>,
    /// Bytes of unreferenced objects in each hub that are too young to prune.
    pub(super) later: HashMap<PathBuf, u64>,
    pub(super) cleaned: Cleaned,
}

/// A run's references in a hub, and the bytes that only they keep.
pub(super) struct Held {
    pub(super) references: Vec<(String, CommitId)>,
    pub(super) bytes: u64,
}

impl<'a> Round<'a> {
    pub(super) fn new(disk: &'a Disk, lease: Option<&'a Lease>) -> Self {
        Self {
            disk,
            lease,
            marked: HashSet::new(),
            later: HashMap::new(),
            cleaned: Cleaned::default(),
        }
    }

    /// The whole round: old runs, leftovers of earlier rounds, then the bound.
    pub(super) async fn whole(mut self, kept: Option<Duration>) -> Result<Cleaned, RetentionError> {
        if let Some(kept) = kept {
            let old = self.disk.context.store.runs_ended_before(kept, RUNS).await?;
            for ended in self.disk.context.store.ended_among(&old).await? {
                self.mark(&ended).await?;
            }
        }
        self.clear_outputs().await?;
        let mut failed = None;
        for path in self.hubs().await {
            match self.clear_hub(path).await {
                Ok(()) => {}
                Err(error @ RetentionError::Git(_)) => {
                    // The others, and the bound, are handled all the same.
                    tracing::warn!(%error, "Could not prune a hub");
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.prune_to_bound().await?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.cleaned.later_bytes = self.later.values().sum();
        if self.lease.is_none() {
            self.cleaned.later_bytes += self.cleaned.hub_bytes(Age::Young);
        }
        Ok(self.cleaned)
    }

    /// Whether the run has expired, before or in this round.
    pub(super) fn has(&self, ended: &EndedRun) -> bool {
        ended.is_expired || self.marked.contains(&ended.run)
    }

    /// Marks a run as expired; `false` if something of it is still open.
    pub(super) async fn mark(&mut self, ended: &EndedRun) -> Result<bool, RetentionError> {
        let marked = match self.lease {
            Some(lease) if self.disk.context.settings.retention == Retention::Runs => {
                self.disk.expire(ended.run, lease).await?
            }
            Some(_) | None => true,
        };
        if marked {
            self.marked.insert(ended.run);
            self.cleaned.run(ended.run, ended.ended_at).trees = true;
        }
        Ok(marked)
    }

    async fn clear_outputs(&mut self) -> Result<(), RetentionError> {
        for (ended, path) in self.outputs().await? {
            if self.has(&ended) {
                self.remove_outputs(&ended, path).await?;
            }
        }
        Ok(())
    }

    /// The outputs of ended runs with nothing open, the earliest end first.
    pub(super) async fn outputs(&self) -> Result<Vec<(EndedRun, PathBuf)>, RetentionError> {
        let root = self.disk.context.layout.all_outputs();
        let listed = blocking(move || directories(&root)).await;
        let named = |path: PathBuf| Some((RunId::from_str(path.file_name()?.to_str()?).ok()?, path));
        let outputs: HashMap<RunId, PathBuf> = listed.into_iter().filter_map(named).collect();
        let runs: Vec<RunId> = outputs.keys().copied().collect();
        let ended = self.disk.context.store.ended_among(&runs).await?;
        Ok(ended
            .into_iter()
            .filter_map(|ended| Some((ended, outputs.get(&ended.run)?.clone())))
            .collect())
    }

    /// Removes the outputs of a run and returns their bytes.
    pub(super) async fn remove_outputs(&mut self, ended: &EndedRun, path: PathBuf) -> Result<u64, RetentionError> {
        let bytes = self.bytes(path.clone()).await;
        if self.may_remove().await? && !removed(path).await {
            return Ok(0);
        }
        self.cleaned.free(Area::Outputs, bytes);
        self.cleaned.run(ended.run, ended.ended_at).output_bytes += bytes;
        Ok(bytes)
    }

    async fn clear_hub(&mut self, path: PathBuf) -> Result<(), RetentionError> {
        // Incomplete: the run that needs it makes it again.
        let Ok(hub) = self.disk.context.hub_at(path).await else {
            return Ok(());
        };
        let own = hub.clone();
        let runs = blocking(move || own.runs_with_references()).await?;
        let mut has_removed = false;
        for ended in self.disk.context.store.ended_among(&runs).await? {
            if self.has(&ended) {
                let held = held(&hub, ended.run).await?;
                self.remove_references(&hub, &ended, held).await?;
                has_removed = true;
            }
        }
        self.prune(&hub).await?;
        match has_removed {
            true => self.look_for_later(&hub).await,
            false => Ok(()),
        }
    }

    /// Measures the unreferenced objects of a hub.
    pub(super) async fn look_for_later(&mut self, hub: &Arc<Hub>) -> Result<(), RetentionError> {
        let own = hub.clone();
        let unnamed = blocking(move || own.prunable(Duration::ZERO)).await?;
        self.later.insert(hub.path().to_owned(), unnamed.bytes);
        Ok(())
    }

    /// Removes every reference of an expired run that has not changed since it was read. The integration branch is removed
    /// first: by the others the next round finds a run whose removal was interrupted.
    pub(super) async fn remove_references(
        &mut self,
        hub: &Arc<Hub>,
        ended: &EndedRun,
        held: Held,
    ) -> Result<(), RetentionError> {
        let line = self.cleaned.run(ended.run, ended.ended_at);
        (line.trees, line.hub_bytes) = (true, line.hub_bytes + held.bytes);
        line.references += held.references.len() as u64;
        self.cleaned.references += held.references.len() as u64;
        if self.may_remove().await? {
            let (own, run) = (hub.clone(), ended.run);
            blocking(move || own.give_up(&run, &held.references)).await?;
        }
        Ok(())
    }

    /// Prunes unreferenced objects that are old enough.
    pub(super) async fn prune(&mut self, hub: &Arc<Hub>) -> Result<(), RetentionError> {
        let (own, removes) = (hub.clone(), self.may_remove().await?);
        let pruned = blocking(move || match removes {
            true => own.prune(GRACE),
            false => own.prunable(GRACE),
        });
        let pruned = pruned.await?;
        self.cleaned.objects += pruned.objects;
        self.cleaned.free(Area::Hubs, pruned.bytes);
        Ok(())
    }

    /// The directories of the hubs.
    pub(super) async fn hubs(&self) -> Vec<PathBuf> {
        let hubs = self.disk.context.layout.hubs();
        blocking(move || directories(&hubs)).await
    }

    /// The bytes of a directory.
    pub(super) async fn bytes(&self, path: PathBuf) -> u64 {
        let stop = self.disk.context.drain.clone();
        blocking(move || directory_bytes(&path, &stop)).await
    }

    /// Whether to remove anything; an error if another process holds the lease by now.
    pub(super) async fn may_remove(&self) -> Result<bool, RetentionError> {
        let (context, Some(lease)) = (&self.disk.context, self.lease) else {
            return Ok(false);
        };
        match context.store.holds_lease(lease, context.holder).await? {
            true => Ok(true),
            false => Err(RetentionError::Held),
        }
    }
}

/// The data of a run in a hub. Unknown sizes count as 0.
pub(super) async fn held(hub: &Arc<Hub>, run: RunId) -> Result<Held, RetentionError> {
    let hub = hub.clone();
    let held = blocking(move || -> Result<Held, git::GitError> {
        let references = hub.references_of(&run)?;
        let bytes = hub.bytes_held_by(&references).unwrap_or_default();
        Ok(Held { references, bytes })
    });
    Ok(held.await?)
}

/// Removes a directory; `false`, with a warning, if that fails.
pub(super) async fn removed(path: PathBuf) -> bool {
    let removed = blocking(move || git::remove_directory(&path)).await;
    if let Err(error) = &removed {
        tracing::warn!(%error, "Could not remove a directory; retrying later");
    }
    removed.is_ok()
}

pub(super) fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
