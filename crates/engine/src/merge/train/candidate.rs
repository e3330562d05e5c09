//! A merge commit on the train, with its verdict.

use super::super::{Failure, build::Built, entry::ActiveMerge, land::Validated};
use domain::gate::GateReport;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A merge commit whose gate runs, or that waits for those before it.
pub(super) struct Candidate {
    pub(super) active: ActiveMerge,
    pub(super) built: Built,
    pub(super) verdict: Verdict,
    /// Stops the gate.
    pub(super) cancel: CancellationToken,
    /// Held by a gate ahead of its turn.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// The gate's report, or the failure to get one.
pub(super) type Judged = Result<GateReport, Failure>;

/// How far the gate is.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each candidate, of which few are alive"
)]
pub(super) enum Verdict {
    /// It runs.
    Pending(JoinHandle<Judged>),
    /// It has ended.
    Reached(Judged),
}

impl Candidate {
    /// Collects the verdict if the gate has just ended; whether it has.
    pub(super) async fn collect_verdict(&mut self) -> bool {
        let Verdict::Pending(gate) = &mut self.verdict else {
            return false;
        };
        if !gate.is_finished() {
            return false;
        }
        let judged = gate.await.unwrap_or_else(|error| Err(Failure::transient(error)));
        self.verdict = Verdict::Reached(judged);
        self._permit = None;
        true
    }

    pub(super) fn passed(&self) -> bool {
        matches!(&self.verdict, Verdict::Reached(Ok(report)) if report.verdict.lands())
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Reached(_)) && !self.passed()
    }

    pub(super) fn validated(self) -> Option<Validated> {
        match self.verdict {
            Verdict::Reached(Ok(report)) => Validated::new(self.active, self.built, &report),
            Verdict::Reached(Err(_)) | Verdict::Pending(_) => None,
        }
    }
}
