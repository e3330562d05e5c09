//! The lock on a branch that is merged onto.

use crate::context::Context;
use domain::{Fence, RunId};
use store::{lease::Lease, merge::merge_lease};

/// The lock: a lease, which proves that only this process merges onto the branch. It is made by taking it.
#[derive(Debug)]
pub(crate) struct BranchLock(Lease);

impl git::LandingLock for BranchLock {}

impl BranchLock {
    /// Takes the lock; `None` where another live process holds it.
    pub(crate) async fn take(context: &Context, run: RunId) -> Result<Option<Self>, store::Error> {
        let lease = context.store.take_lease(&merge_lease(run), context.holder).await?;
        Ok(lease.map(Self))
    }

    /// Releases it. If that fails, this process takes it again when there is work.
    pub(super) async fn release(&self, context: &Context) {
        if let Err(error) = context.store.drop_lease(&self.0).await {
            tracing::warn!(%error, lease = %self.0, "could not release a lease");
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.0
    }

    pub(super) fn fence(&self) -> Fence {
        self.0.fence()
    }
}
