//! The lock on a branch that is merged onto.

use crate::context::Context;
use domain::{Fence, RunId};
use store::{lease::Lease, merge::merge_lease};

/// The lock: a lease, which is proof that this process is the branch's one merger. It is made by taking it.
#[derive(Debug)]
pub(crate) struct BranchLock(Lease);

impl git::LandingLock for BranchLock {}

impl BranchLock {
    /// Takes the lock; `None` where another process that lives holds it.
    pub(crate) async fn take(context: &Context, run: RunId) -> Result<Option<Self>, store::Error> {
        let lease = context.store.take_lease(&merge_lease(run), context.holder).await?;
        Ok(lease.map(Self))
    }

    /// Gives it back. Where that fails, this process takes it anew when there is work.
    pub(super) async fn release(&self, context: &Context) {
        if let Err(error) = context.store.drop_lease(&self.0).await {
            tracing::warn!(%error, lease = %self.0, "a lease could not be given back");
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.0
    }

    pub(super) fn fence(&self) -> Fence {
        self.0.fence()
    }
}
