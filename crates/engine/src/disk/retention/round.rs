//! One round: what is old, and what an earlier round left.

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
    settings::GivesUp,
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

/// Runs that are given up in one round.
const RUNS: i64 = 500;

/// A round under way.
pub(super) struct Round<'a> {
    pub(super) disk: &'a Disk,
    /// What every step that destroys stands under; in a dry run there is none, and nothing is destroyed.
    pub(super) lease: Option<&'a Lease>,
    /// Runs that were marked in this round, or would be.
    pub(super) marked: HashSet<RunId>,
    /// Bytes in each hub that nothing names and that are too young to go.
    pub(super) later: HashMap<PathBuf, u64>,
    pub(super) cleaned: Cleaned,
}

/// A run's references in a hub, and the bytes that they alone keep.
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

    /// Everything, in its order: what is old, what earlier rounds left, what has to go for the bound.
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
                    // One that can't be cleared keeps no other from it, nor the bound from being kept.
                    tracing::warn!(%error, "a hub could not be cleared");
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.make_room().await?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.cleaned.later_bytes = self.later.values().sum();
        if self.lease.is_none() {
            self.cleaned.later_bytes += self.cleaned.hub_bytes(Age::Young);
        }
        Ok(self.cleaned)
    }

    /// Whether it was dealt with before in this round.
    pub(super) fn has(&self, ended: &EndedRun) -> bool {
        ended.is_expired || self.marked.contains(&ended.run)
    }

    /// `false` where something of the run is open after all.
    pub(super) async fn mark(&mut self, ended: &EndedRun) -> Result<bool, RetentionError> {
        let marked = match self.lease {
            Some(lease) if self.disk.context.settings.gives_up == GivesUp::Runs => {
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

    /// The outputs of runs that have ended, with nothing open, the oldest end first.
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

    /// Returns their bytes.
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
        // One that is half made is made anew by the run that needs it.
        let Ok(hub) = self.disk.context.hub_at(path).await else {
            return Ok(());
        };
        let own = hub.clone();
        let runs = blocking(move || own.runs_with_references()).await?;
        let mut gave_up = false;
        for ended in self.disk.context.store.ended_among(&runs).await? {
            if self.has(&ended) {
                let held = held(&hub, ended.run).await?;
                self.give_up(&hub, &ended, held).await?;
                gave_up = true;
            }
        }
        self.prune(&hub).await?;
        match gave_up {
            true => self.look_for_later(&hub).await,
            false => Ok(()),
        }
    }

    /// Asks what is left in a hub that nothing names.
    pub(super) async fn look_for_later(&mut self, hub: &Arc<Hub>) -> Result<(), RetentionError> {
        let own = hub.clone();
        let unnamed = blocking(move || own.prunable(Duration::ZERO)).await?;
        self.later.insert(hub.path().to_owned(), unnamed.bytes);
        Ok(())
    }

    /// Removes every reference of a marked run, each only where it still is what was read. The integration branch goes
    /// first: as long as others are there, a round that was cut short is found again.
    pub(super) async fn give_up(&mut self, hub: &Arc<Hub>, ended: &EndedRun, held: Held) -> Result<(), RetentionError> {
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

    /// Removes what nothing names any more, as far as it is old enough.
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

    /// Whether anything is to be removed; an error where the lease is another's by now.
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

/// What a run has in a hub. Bytes that can't be told are none: that is no reason to keep them.
pub(super) async fn held(hub: &Arc<Hub>, run: RunId) -> Result<Held, RetentionError> {
    let hub = hub.clone();
    let held = blocking(move || -> Result<Held, git::GitError> {
        let references = hub.references_of(&run)?;
        let bytes = hub.bytes_held_by(&references).unwrap_or_default();
        Ok(Held { references, bytes })
    });
    Ok(held.await?)
}

/// `false` where it can't be removed now; that keeps nothing else.
pub(super) async fn removed(path: PathBuf) -> bool {
    let removed = blocking(move || git::remove_directory(&path)).await;
    if let Err(error) = &removed {
        tracing::warn!(%error, "what was given up is removed later");
    }
    removed.is_ok()
}

pub(super) fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
