//! Building: claims entries of the queue, merges each onto the one before it, and starts its gate.

use super::{
    super::{
        Failure,
        build::{BuildOutcome, Built},
        end::Ended,
        entry::ActiveMerge,
        gate,
    },
    Candidate, LENGTH, Train, Verdict,
};
use crate::context::tip::Tip;
use domain::{CommitId, MergeId, run::ReasonCode};
use std::{collections::HashSet, ops::ControlFlow, time::Duration};
use store::merge::QueuedMerge;
use tokio::sync::OwnedSemaphorePermit;

/// The right to run a gate; `None` where none is needed.
type Permit = Option<OwnedSemaphorePermit>;

impl Train {
    /// Builds entries while there is capacity, each on the last candidate that has not failed.
    pub(super) async fn build(&mut self) -> Result<(), Failure> {
        let tip = match self.tip.take() {
            Some(tip) => tip,
            None => self.find_tip().await?,
        };
        self.tip = Some(tip.clone());
        self.release_detached(&tip.commit).await;
        self.claim().await?;
        while self.candidates.len() < LENGTH {
            if self.build_next(&tip).await?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Builds the next claimed entry. Breaks when nothing more can be built now.
    async fn build_next(&mut self, tip: &Tip) -> Result<ControlFlow<()>, Failure> {
        let Some(next) = self.next_claimed() else {
            return Ok(ControlFlow::Break(()));
        };
        let (ahead, onto) = (!self.candidates.is_empty(), self.top(&tip.commit));
        let attempt = Some((self.claimed[next].entry.merge.id, onto.clone()));
        if ahead && self.not_ahead == attempt {
            return Ok(ControlFlow::Break(()));
        }
        let Some(permit) = self.gate_permit(ahead) else {
            return Ok(ControlFlow::Break(()));
        };
        let mut active = self.claimed.swap_remove(next);
        let lost = tip.lost.clone().map(|why| Ended::error(ReasonCode::Moved, why, false));
        let outcome = match lost.or_else(|| active.poison()) {
            Some(ended) if !ahead => Ok(BuildOutcome::Ended(ended)),
            Some(_) => Ok(BuildOutcome::NotAhead),
            None => active.build(&onto, ahead).await,
        };
        match outcome {
            Ok(BuildOutcome::Built(built)) => {
                self.start_gate(active, built, permit);
                Ok(ControlFlow::Continue(()))
            }
            Ok(BuildOutcome::Ended(ended)) => {
                self.finish(active, ended).await?;
                Ok(ControlFlow::Continue(()))
            }
            Ok(BuildOutcome::NotAhead) => {
                self.not_ahead = attempt;
                self.claimed.push(active);
                Ok(ControlFlow::Break(()))
            }
            Err(failure @ (Failure::Outage { .. } | Failure::Transient(_))) if ahead => {
                tracing::debug!(error = %failure, "could not build an entry ahead of its turn; it is built in its turn");
                self.not_ahead = attempt;
                self.claimed.push(active);
                Ok(ControlFlow::Break(()))
            }
            Err(failure) => {
                self.retry(active, failure).await?;
                Ok(ControlFlow::Break(()))
            }
        }
    }

    /// Claims the entries that fit on the train and are not on it.
    async fn claim(&mut self) -> Result<(), Failure> {
        let free = LENGTH - self.candidates.len();
        let capacity = match self.branch.is_gated() {
            true => usize::from(self.candidates.is_empty()) + self.branch.gates.ahead.available_permits(),
            false => free,
        };
        let capacity = capacity.min(free).saturating_sub(self.claimed.len());
        let on_train = self.candidates.iter().map(|candidate| &candidate.active);
        let known: HashSet<MergeId> = on_train
            .chain(&self.claimed)
            .map(|active| active.entry.merge.id)
            .collect();
        let new = self.queue.iter().filter(|entry| !known.contains(&entry.id));
        let new: Vec<QueuedMerge> = new.take(capacity).cloned().collect();
        if !new.is_empty() {
            self.claimed.extend(self.branch.claim(new).await?);
        }
        Ok(())
    }

    /// The index of the claimed entry that comes first in the queue.
    fn next_claimed(&self) -> Option<usize> {
        let index = |entry: &QueuedMerge| self.claimed.iter().position(|active| active.entry.merge.id == entry.id);
        self.queue.iter().find_map(index)
    }

    /// The commit that the next entry is built on.
    fn top(&self, tip: &CommitId) -> CommitId {
        let last = self.candidates.iter().rev().find(|candidate| !candidate.failed());
        last.map_or_else(|| tip.clone(), |candidate| candidate.built.merged.clone())
    }

    /// The right to run one more gate. The first of a train always has it, one ahead of its turn only while cores are
    /// free, and a merge without a check command needs none. `None`: not now.
    fn gate_permit(&self, ahead: bool) -> Option<Permit> {
        if !ahead || !self.branch.is_gated() {
            return Some(None);
        }
        self.branch.gates.ahead.clone().try_acquire_owned().ok().map(Some)
    }

    fn start_gate(&mut self, active: ActiveMerge, mut built: Built, permit: Permit) {
        let cancel = self.branch.context.drain.child_token();
        let verdict = match built.unchecked.take() {
            Some(report) => {
                gate::count(&report, Duration::ZERO);
                Verdict::Reached(Ok(report))
            }
            None => {
                let (entry, cancel) = (active.entry.clone(), cancel.clone());
                let (tip, commit) = (built.tip.clone(), built.merged.clone());
                let (ended, in_turn) = (self.gate_ended.clone(), permit.is_none());
                Verdict::Pending(tokio::spawn(async move {
                    let judged = gate::judge(&entry, &tip, &commit, &cancel, in_turn).await;
                    ended.notify_one();
                    judged
                }))
            }
        };
        self.candidates.push_back(Candidate {
            active,
            built,
            verdict,
            cancel,
            _permit: permit,
        });
    }

    /// Releases candidates that are no longer built on the branch, or on what comes before them.
    async fn release_detached(&mut self, tip: &CommitId) {
        let mut onto = tip;
        let mut detached = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            if candidate.built.tip != *onto {
                detached = Some(index);
                break;
            }
            if !candidate.failed() {
                onto = &candidate.built.merged;
            }
        }
        if let Some(index) = detached {
            self.release_from(index).await;
        }
    }
}
