//! Prunes the data directory when it exceeds its bound, only as far as necessary: build caches, the longest unused first;
//! outputs of ended runs; data of ended runs in the hubs, the oldest first. Running runs keep everything.

use super::{
    RetentionError,
    report::{Age, CleanedCache},
    round::{Round, directories, held, removed},
};
use crate::{context::blocking, disk::usage::Area};
use git::Hub;
use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};
use store::retention::EndedRun;

/// The prefix of a cache that is being removed. No hub's name starts like this.
const GONE: &str = ".gone-";

impl Round<'_> {
    /// Prunes until the directory is within its bound. The next measurement shows whether that was enough.
    pub(super) async fn prune_to_bound(&mut self) -> Result<(), RetentionError> {
        let Some(bound) = self.disk.context.settings.disk_bound_bytes else {
            return Ok(());
        };
        let Some(found) = self.disk.measure().await else {
            return Ok(());
        };
        // In a dry run nothing was removed yet.
        let gone = match self.lease {
            Some(_) => 0,
            None => self.cleaned.freed.values().sum::<u64>() + self.cleaned.hub_bytes(Age::Old),
        };
        let mut over = found.total_bytes().saturating_sub(gone).saturating_sub(bound);
        if over > 0 {
            over = self.prune_caches(over).await?;
        }
        if over > 0 {
            over = self.prune_outputs(over).await?;
        }
        if over > 0 {
            self.expire_oldest(over).await?;
        }
        Ok(())
    }

    async fn prune_caches(&mut self, mut over: u64) -> Result<u64, RetentionError> {
        let (context, root) = (&self.disk.context, self.disk.context.layout.caches());
        let mut caches: HashMap<String, PathBuf> = blocking(move || directories(&root))
            .await
            .into_iter()
            .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
            .collect();
        let used = context.store.hubs_by_last_merge().await?;
        let used = used.iter().map(|hub| hub.trim_end_matches(".git").to_owned());
        let used: Vec<(String, PathBuf)> = used.filter_map(|name| caches.remove_entry(&name)).collect();
        // Caches without a known merge first, among them leftovers.
        for (name, path) in caches.into_iter().chain(used) {
            if over == 0 {
                break;
            }
            let bytes = self.bytes(path.clone()).await;
            if self.remove_cache(&name, path).await? {
                over = over.saturating_sub(bytes);
                self.cleaned.free(Area::Cache, bytes);
                self.cleaned.caches.push(CleanedCache { name, bytes });
            }
        }
        Ok(over)
    }

    /// Removes a cache; `false` if a gate may be using it. It is renamed first, so that a gate that starts meanwhile makes a
    /// new one.
    async fn remove_cache(&self, name: &str, path: PathBuf) -> Result<bool, RetentionError> {
        let context = &self.disk.context;
        let (merging, claiming) = context.busy.merging().await;
        let busy = context.store.hubs_of(&merging).await?;
        if busy.iter().any(|hub| hub.trim_end_matches(".git") == name) {
            return Ok(false);
        }
        if !self.may_remove().await? {
            return Ok(true);
        }
        let renamed_path = path.with_file_name(format!("{GONE}{}", name.trim_start_matches(GONE)));
        let (from, to) = (path, renamed_path.clone());
        // Fails while an earlier one of that name is still being removed; the next round retries.
        let renamed = blocking(move || fs::rename(&from, &to)).await;
        drop(claiming);
        Ok(renamed.is_ok() && removed(renamed_path).await)
    }

    async fn prune_outputs(&mut self, mut over: u64) -> Result<u64, RetentionError> {
        for (ended, path) in self.outputs().await? {
            if over == 0 {
                break;
            }
            // It still exists in a dry run, or if it could not be removed.
            if !self.has(&ended) {
                over = over.saturating_sub(self.remove_outputs(&ended, path).await?);
            }
        }
        Ok(over)
    }

    /// Expires the oldest runs. Objects that are unreferenced already are pruned later without that.
    async fn expire_oldest(&mut self, mut over: u64) -> Result<(), RetentionError> {
        let mut ended: Vec<(EndedRun, Arc<Hub>)> = Vec::new();
        for path in self.hubs().await {
            let Ok(hub) = self.disk.context.hub_at(path).await else {
                continue;
            };
            self.look_for_later(&hub).await?;
            let own = hub.clone();
            let runs = blocking(move || own.runs_with_references()).await?;
            let found = self.disk.context.store.ended_among(&runs).await?;
            ended.extend(found.into_iter().map(|run| (run, hub.clone())));
        }
        let young = match self.lease {
            Some(_) => 0,
            None => self.cleaned.hub_bytes(Age::Young),
        };
        over = over.saturating_sub(self.later.values().sum::<u64>() + young);
        ended.sort_by_key(|(run, _)| (run.ended_at, run.run));
        let mut touched: Vec<Arc<Hub>> = Vec::new();
        for (run, hub) in ended {
            if over == 0 {
                break;
            }
            if self.has(&run) || !self.mark(&run).await? {
                continue;
            }
            let held = held(&hub, run.run).await?;
            over = over.saturating_sub(held.bytes);
            self.remove_references(&hub, &run, held).await?;
            if !touched.iter().any(|other| Arc::ptr_eq(other, &hub)) {
                touched.push(hub);
            }
        }
        if self.lease.is_some() {
            for hub in touched {
                self.prune(&hub).await?;
                self.look_for_later(&hub).await?;
            }
        }
        Ok(())
    }
}
