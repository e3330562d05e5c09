//! How waiting parts learn that something may have changed: a tick that grows with every commit, and one that grows with
//! those after which there may be work to claim. Most commits only tell how something gets on.
//!
//! Other processes are told by one coalesced hint after the commit. A hint is never needed: everyone polls too.

use std::time::Duration;
use store::{Holder, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long commits are gathered before other processes are told of them.
const COALESCE: Duration = Duration::from_millis(20);
/// How long to wait before listening again after the connection was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// The tick. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    /// Grows with every commit, here or elsewhere.
    tick: watch::Sender<u64>,
    /// Grows with those that may have left something to do.
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

    /// This process committed something after which there may be work to claim, or has a place for it.
    pub(crate) fn committed(&self) {
        self.told();
        self.work.send_modify(|count| *count += 1);
    }

    /// This process committed something that only tells how it gets on.
    pub(crate) fn told(&self) {
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

    /// Tells other processes of this one's commits, until stopped.
    pub(crate) async fn tell(self, store: Store, holder: Holder, stop: CancellationToken) {
        let mut own = self.own.subscribe();
        while stop
            .run_until_cancelled(own.changed())
            .await
            .is_some_and(|changed| changed.is_ok())
        {
            tokio::time::sleep(COALESCE).await;
            own.mark_unchanged();
            if let Err(error) = store.hint(holder).await {
                tracing::debug!(%error, "no hint was sent; other processes poll");
            }
        }
    }

    /// Hears of other processes' commits, until stopped.
    pub(crate) async fn listen(self, store: Store, holder: Holder, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let heard = store.hear(holder, || {
                self.tick.send_modify(|count| *count += 1);
                self.work.send_modify(|count| *count += 1);
            });
            match stop.run_until_cancelled(heard).await {
                None => return,
                Some(ended) => tracing::debug!(?ended, "not listening; polling goes on"),
            }
            stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
        }
    }
}
