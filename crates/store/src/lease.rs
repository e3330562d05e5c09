//! Leases on things only one process may do at a time, such as merging onto a branch.
//!
//! A lease is void when the process or the life that took it is; no session lock is used, because those leak
//! behind connection poolers. The fence grows with each taking, so a woken holder of an old one is shut out.

use crate::{Error, Holder, Store, timed::timed};
use domain::Fence;
use std::{fmt, sync::Arc};

/// Proof that a lease was taken: there is no other way to one. It may have run out since, so every write names it, and
/// changes nothing under one that is void.
#[derive(Clone, Debug)]
pub struct Lease {
    name: Arc<str>,
    fence: Fence,
}

impl Lease {
    /// On what.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Grows with each taking.
    pub fn fence(&self) -> Fence {
        self.fence
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fence {})", self.name, self.fence.0)
    }
}

impl Store {
    /// Takes a lease that nobody else alive holds. `None` while another does. One of this process is taken anew under
    /// a higher fence: its caller knows that no part of it still works under the old one.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn take_lease(&self, name: &str, holder: Holder) -> Result<Option<Lease>, Error> {
        // Taken only as it was when this statement began: a holder that has registered since is not seen by it.
        let row = timed(
            "insert",
            sqlx::query!(
                "insert into lease (name, process, epoch, fence) values ($1, $2, $3, 1)
                 on conflict (name) do update
                     set process = excluded.process, epoch = excluded.epoch, fence = lease.fence + 1, taken_at = now()
                     where lease.fence = (select seen.fence from lease seen where seen.name = lease.name)
                         and ((lease.process, lease.epoch) = (excluded.process, excluded.epoch)
                              or not exists (select 1 from process p where p.id = lease.process
                                                 and p.epoch = lease.epoch and p.expires_at >= now()))
                 returning fence",
                name,
                holder.process.0,
                holder.epoch.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.map(|row| Lease {
            name: name.into(),
            fence: Fence(row.fence),
        }))
    }

    /// Gives a lease back, if it is still held.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn drop_lease(&self, lease: &Lease) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update lease set process = null, epoch = null where name = $1 and fence = $2",
                lease.name(),
                lease.fence().0,
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }
}
