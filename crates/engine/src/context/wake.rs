//! Wakes the parts that wait for a change: one counter grows with every commit, another with those commits after which
//! there may be work to claim. Most commits only report progress.
//!
//! Other processes get one coalesced hint after a commit. A hint is never needed: every process polls as well.

use std::time::Duration;
use store::{Holder, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Commits within this time share one hint to other processes.
const COALESCE: Duration = Duration::from_millis(20);
/// The wait before listening again after the connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// The counters. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    /// Grows with every commit, here or elsewhere.
    tick: watch::Sender<u64>,
    /// Grows with those after which there may be work.
    work: watch::Sender<u64>,
    /// Grows with every commit of this process.
    own: watch::Sender<u64>,
}

impl Wake {
    pub(crate) fn new() -> Self {
        Self {
            tick: watch::Sender::new(0),
            work: watch::Sender::new(0),
            own: watch::Sender::new(0),
        }
    }

    /// Called after a commit that may leave work to claim, or when there is capacity for work again.
    pub(crate) fn committed(&self) {
        self.progressed();
        self.work.send_modify(|count| *count += 1);
    }

    /// Called after a commit that only reports progress.
    pub(crate) fn progressed(&self) {
        self.own.send_modify(|count| *count += 1);
        self.tick.send_modify(|count| *count += 1);
    }

    /// Resolves when something may have changed since the receiver last looked.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.tick.subscribe()
    }

    /// Resolves when there may be work since the receiver last looked.
    pub(crate) fn watch_work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Sends hints about this process's commits to other processes, until stopped.
    pub(crate) async fn send_hints(self, store: Store, holder: Holder, stop: CancellationToken) {
        let mut own = self.own.subscribe();
        while stop
            .run_until_cancelled(own.changed())
            .await
            .is_some_and(|changed| changed.is_ok())
        {
            tokio::time::sleep(COALESCE).await;
            own.mark_unchanged();
            if let Err(error) = store.hint(holder).await {
                tracing::debug!(%error, "Could not send a hint; other processes poll");
            }
        }
    }

    /// Receives hints about other processes' commits, until stopped.
    pub(crate) async fn listen(self, store: Store, holder: Holder, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let heard = store.hear(holder, || {
                self.tick.send_modify(|count| *count += 1);
                self.work.send_modify(|count| *count += 1);
            });
            match stop.run_until_cancelled(heard).await {
                None => return,
                Some(ended) => tracing::debug!(?ended, "Stopped listening for hints; polling continues"),
            }
            stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
        }
    }
}
