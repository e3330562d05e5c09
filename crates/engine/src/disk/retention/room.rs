//! What goes when the data directory is over its bound, only as far as that needs: build caches, the longest unused
//! first; outputs of ended runs; what ended runs left in the hubs, the oldest first. What runs keeps everything.

use super::{
    RetentionError,
    report::{Age, CleanedCache},
    round::{Round, directories, held, removed},
};
use crate::{context::blocking, disk::usage::Area};
use git::Hub;
use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};
use store::retention::EndedRun;

/// What a cache is called from when it was given up until it is gone. No hub's name begins so.
const GONE: &str = ".gone-";

impl Round<'_> {
    /// Gives up what has to go for the bound. What is not enough is for the next measurement to tell.
    pub(super) async fn make_room(&mut self) -> Result<(), RetentionError> {
        let Some(bound) = self.disk.context.settings.disk_bound_bytes else {
            return Ok(());
        };
        let Some(found) = self.disk.measure().await else {
            return Ok(());
        };
        // In a dry run nothing of what was found so far is gone.
        let gone = match self.lease {
            Some(_) => 0,
            None => self.cleaned.freed.values().sum::<u64>() + self.cleaned.hub_bytes(Age::Old),
        };
        let mut over = found.total_bytes().saturating_sub(gone).saturating_sub(bound);
        if over > 0 {
            over = self.spare_caches(over).await?;
        }
        if over > 0 {
            over = self.spare_outputs(over).await?;
        }
        if over > 0 {
            self.spare_trees(over).await?;
        }
        Ok(())
    }

    async fn spare_caches(&mut self, mut over: u64) -> Result<u64, RetentionError> {
        let (context, root) = (&self.disk.context, self.disk.context.layout.caches());
        let mut caches: HashMap<String, PathBuf> = blocking(move || directories(&root))
            .await
            .into_iter()
            .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
            .collect();
        let used = context.store.hubs_by_last_merge().await?;
        let used = used.iter().map(|hub| hub.trim_end_matches(".git").to_owned());
        let used: Vec<(String, PathBuf)> = used.filter_map(|name| caches.remove_entry(&name)).collect();
        // First what no merge is known of, leftovers among them.
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

    /// `false` where a gate may be using it. It gets another name before it goes, so that a gate which begins meanwhile
    /// makes a new one.
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
        let given_up = path.with_file_name(format!("{GONE}{}", name.trim_start_matches(GONE)));
        let (from, to) = (path, given_up.clone());
        // What is left of an earlier one of that name stands in the way until it is gone: then it goes next time.
        let renamed = blocking(move || fs::rename(&from, &to)).await;
        drop(claiming);
        Ok(renamed.is_ok() && removed(given_up).await)
    }

    async fn spare_outputs(&mut self, mut over: u64) -> Result<u64, RetentionError> {
        for (ended, path) in self.outputs().await? {
            if over == 0 {
                break;
            }
            // Where it is still there, it is because nothing is removed, or because this could not be.
            if !self.has(&ended) {
                over = over.saturating_sub(self.remove_outputs(&ended, path).await?);
            }
        }
        Ok(over)
    }

    /// What nothing names any more goes by itself when it is old enough, so as much less has to be given up.
    async fn spare_trees(&mut self, mut over: u64) -> Result<(), RetentionError> {
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
        let told = match self.lease {
            Some(_) => 0,
            None => self.cleaned.hub_bytes(Age::Young),
        };
        over = over.saturating_sub(self.later.values().sum::<u64>() + told);
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
            self.give_up(&hub, &run, held).await?;
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
