//! A merge commit on the train, and how far its verdict is.

use super::super::{Failure, bring::Built, entry::Merger, land::Validated};
use domain::gate::GateReport;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A merge commit before its verdict, or one whose verdict has no effect yet because others go before it.
pub(super) struct Candidate {
    pub(super) merger: Merger,
    pub(super) built: Built,
    pub(super) gate: Judging,
    pub(super) cancel: CancellationToken,
    /// What a gate ahead of the first holds.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

pub(super) type Judged = Result<GateReport, Failure>;

pub(super) enum Judging {
    Running(JoinHandle<Judged>),
    Done(Judged),
}

impl Candidate {
    /// Whether the gate has ended now.
    pub(super) async fn settle_if_ended(&mut self) -> bool {
        let Judging::Running(gate) = &mut self.gate else {
            return false;
        };
        if !gate.is_finished() {
            return false;
        }
        let judged = gate.await.unwrap_or_else(|error| {
            let message = format!("the gate broke off: {error}");
            Err(Failure::Transient(message))
        });
        self.gate = Judging::Done(judged);
        self._permit = None;
        true
    }

    pub(super) fn passed(&self) -> bool {
        matches!(&self.gate, Judging::Done(Ok(report)) if report.verdict.lands())
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.gate, Judging::Done(_)) && !self.passed()
    }

    pub(super) fn validated(self) -> Option<Validated> {
        match self.gate {
            Judging::Done(Ok(report)) => Validated::new(self.merger, self.built, &report),
            Judging::Done(Err(_)) | Judging::Running(_) => None,
        }
    }
}
