//! The concurrent requests that a provider may get.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one provider: a request takes one while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Semaphore>);

/// A slot of a provider; free again when dropped.
#[derive(Debug)]
pub struct ProviderSlot {
    pub(crate) provider: String,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }

    /// A slot, if one is free now.
    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }

    /// A slot, as soon as one is free. Waiting requests get theirs in order.
    pub(crate) async fn acquire(&self) -> OwnedSemaphorePermit {
        match self.0.clone().acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore was closed, which nobody does.
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn are_full(&self) -> bool {
        self.0.available_permits() == 0
    }
}
