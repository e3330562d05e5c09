//! The branch that is merged onto, and the writes that concern several of its entries.

use super::{BranchLock, Failure, end::Ended, entry::ActiveMerge, gates::Gates};
use crate::context::Context;
use domain::merge::MergeState;
use git::Hub;
use std::sync::Arc;
use store::{Tx, merge::QueuedMerge, run::RunDetails};

/// The branch, and the lock it is held under. Clones share everything.
#[derive(Clone)]
pub(super) struct Branch {
    pub(super) context: Context,
    pub(super) gates: Gates,
    pub(super) details: Arc<RunDetails>,
    pub(super) hub: Arc<Hub>,
    pub(super) lock: Arc<BranchLock>,
}

impl Branch {
    /// A transaction that locks the run and counts as progress.
    pub(super) async fn progress(&self) -> Result<Tx, Failure> {
        let mut tx = self.context.store.begin_progress().await?;
        tx.lock_run(self.details.id).await?.ok_or(Failure::NotOurs)?;
        Ok(tx)
    }

    /// Whether the run has a check command.
    pub(super) fn is_gated(&self) -> bool {
        let check = self.details.check.as_ref();
        check.is_some_and(|check| check.command.is_some())
    }

    /// Claims entries. Those that have ended meanwhile are left out.
    pub(super) async fn claim(&self, entries: Vec<QueuedMerge>) -> Result<Vec<ActiveMerge>, Failure> {
        let mut tx = self.progress().await?;
        let (mut claimed, mut events) = (Vec::new(), Vec::new());
        for entry in entries {
            let active = ActiveMerge::start(self, entry);
            let first = self.context.pauses.merge_started(active.entry.merge.id);
            if tx.begin_merge(active.entry.hold(), first).await? {
                let event = active.entry.moved(MergeState::Merging, Vec::new());
                events.push((Some(active.entry.merge.task), event));
                claimed.push(active);
            }
        }
        if claimed.is_empty() {
            return Err(Failure::NotOurs);
        }
        tx.append(self.details.id, &events).await?;
        tx.commit().await?;
        self.context.wake.progressed();
        Ok(claimed)
    }

    /// Records how entries ended, in one transaction: merges, tasks, dependents, log.
    pub(super) async fn finish(&self, ends: Vec<(ActiveMerge, Ended)>) -> Result<(), Failure> {
        let mut tx = self.context.store.begin().await?;
        let mut applied = Vec::with_capacity(ends.len());
        for (active, ended) in &ends {
            applied.push(active.record_end(&mut tx, ended).await?);
        }
        tx.commit().await?;
        for applied in &applied {
            self.context.applied(applied);
        }
        for (active, ended) in ends {
            self.context.pauses.merge_ended(active.entry.merge.id);
            active.count_end(&ended);
        }
        Ok(())
    }
}
