//! The steps of an entry, written down: row, events and counts of each.

use super::{Failure, entry::Entry};
use domain::{CommitId, event::Event, gate::GateReport, integrity::IntegrityFlag, merge::MergeState};
use store::{Tx, merge::BroughtRow, resolution::ResolutionRow};

impl Entry {
    /// Records the merge commit, or the conflict, and the next state. Fails when the entry is no longer ours.
    pub(super) async fn save_built(
        &self,
        state: MergeState,
        row: BroughtRow<'_>,
        events: Vec<Event>,
    ) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.brought(self.hold(), state, row).await? {
            return Err(Failure::NotOurs);
        }
        self.commit(tx, events).await
    }

    /// Records the integrity flags of a merge that lands without a gate.
    pub(super) async fn save_flags(&self, flags: &[IntegrityFlag]) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        let new = tx.save_integrity_flags(self.hold(), flags).await?;
        self.commit(tx, self.flag_events(&new)).await?;
        count(&new);
        Ok(())
    }

    /// Records the gate's report on a merge commit, and its integrity flags.
    pub(super) async fn save_report(
        &self,
        merged: &CommitId,
        report: &GateReport,
        event: Event,
        flags: &[IntegrityFlag],
    ) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.save_gate(self.hold(), merged, report).await? {
            return Err(Failure::NotOurs);
        }
        let new = tx.save_integrity_flags(self.hold(), flags).await?;
        let mut events = vec![event];
        events.extend(self.flag_events(&new));
        self.commit(tx, events).await?;
        count(&new);
        Ok(())
    }

    /// An event for each flag.
    fn flag_events(&self, flags: &[IntegrityFlag]) -> Vec<Event> {
        let merge = self.merge.id;
        let event = |flag: &IntegrityFlag| Event::IntegrityFlagged {
            merge,
            flag: flag.clone(),
        };
        flags.iter().map(event).collect()
    }

    /// Appends the events, commits and notifies.
    async fn commit(&self, mut tx: Tx, events: Vec<Event>) -> Result<(), Failure> {
        let events: Vec<_> = events.into_iter().map(|event| (Some(self.merge.task), event)).collect();
        tx.append(self.branch.details.id, &events).await?;
        tx.commit().await?;
        self.branch.context.wake.progressed();
        Ok(())
    }

    /// The event that the entry changed its state.
    pub(super) fn moved(&self, state: MergeState, conflicts: Vec<String>) -> Event {
        Event::MergeProgressed {
            merge: self.merge.id,
            state,
            conflicts,
        }
    }

    /// Records a layer's decision on a conflict. Fails when the merge is no longer ours, or has ended.
    pub(super) async fn save_decision(&self, row: ResolutionRow) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.save_resolution(self.hold(), &row).await? {
            return Err(Failure::NotOurs);
        }
        let event = Event::ConflictDecided {
            merge: self.merge.id,
            path: row.path,
            layer: row.layer,
            result: row.result,
            reason: row.reason,
        };
        self.commit(tx, vec![event]).await
    }

    /// Keeps a decision of an earlier round. Fails when the merge is no longer ours.
    pub(super) async fn keep_decision(&self, id: i64) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.keep_resolution(self.hold(), id).await? {
            return Err(Failure::NotOurs);
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Counts new flags.
fn count(flags: &[IntegrityFlag]) {
    for flag in flags {
        telemetry::merge::flagged(flag.kind);
    }
}
