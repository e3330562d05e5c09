//! How a merge ends, and what is written down then.

use super::{
    Failure,
    entry::{ActiveMerge, Entry},
};
use crate::context::step::{self, Applied};
use domain::{
    CommitId,
    feedback::{FailedGate, Feedback},
    gate::GateReport,
    input::Input,
    merge::MergeEnd,
    run::{Reason, ReasonCode},
};
use store::Tx;
use telemetry::merge::MergeResult;

/// How a merge ends, with the feedback for its task's next attempt.
pub(super) struct Ended {
    pub(super) end: MergeEnd,
    pub(super) feedback: Option<Feedback>,
    pub(super) conflicted: bool,
    /// The question to a person that replaces the end.
    pub(super) question: Option<Question>,
}

impl Ended {
    pub(super) fn landed(commit: CommitId, conflicted: bool) -> Self {
        Self {
            end: MergeEnd::Landed { commit },
            feedback: None,
            conflicted,
            question: None,
        }
    }

    pub(super) fn error(code: ReasonCode, message: impl Into<String>, conflicted: bool) -> Self {
        let message = telemetry::secrets::redact(&message.into());
        Self {
            end: MergeEnd::Error {
                reason: Reason::new(code, message),
            },
            feedback: None,
            conflicted,
            question: None,
        }
    }

    /// Adds what the gate found to the feedback.
    pub(super) fn with_gate(mut self, report: &GateReport) -> Self {
        if let Some(feedback) = &mut self.feedback {
            feedback.gate = Some(FailedGate::from(report));
        }
        self
    }

    /// Adds the paths that nobody decided to the feedback.
    pub(super) fn with_conflicts(mut self, paths: &[String]) -> Self {
        if let Some(feedback) = &mut self.feedback {
            feedback.conflicts = paths.to_vec();
        }
        self
    }

    /// Whether the gate rejected it.
    fn is_rejected_by_gate(&self) -> bool {
        matches!(&self.end, MergeEnd::Rejected { reason } if reason.code == ReasonCode::Gate)
    }

    fn result(&self) -> MergeResult {
        match &self.end {
            MergeEnd::Error { .. } => MergeResult::Error,
            MergeEnd::Landed { .. } | MergeEnd::Rejected { .. } if self.conflicted => MergeResult::Conflict,
            MergeEnd::Landed { .. } | MergeEnd::Rejected { .. } => MergeResult::Success,
        }
    }
}

/// A question to a person.
pub(super) struct Question {
    /// Conflicted paths.
    pub(super) conflicts: Vec<String>,
    /// Why.
    pub(super) why: Reason,
}

impl Entry {
    /// Sends the work back to its worker, with feedback.
    pub(super) fn rejected(&self, code: ReasonCode, message: &str, conflicted: bool) -> Ended {
        let message = telemetry::secrets::redact(message);
        let feedback = Feedback::new(self.merge.attempt, &message);
        Ended {
            end: MergeEnd::Rejected {
                reason: Reason::new(code, message),
            },
            feedback: Some(feedback),
            conflicted,
            question: None,
        }
    }
}

impl ActiveMerge {
    /// Writes the end of the merge and of its task's state.
    pub(super) async fn record_end(&self, tx: &mut Tx, ended: &Ended) -> Result<Applied, Failure> {
        if ended.conflicted && ended.is_rejected_by_gate() {
            tx.refuse_resolutions(self.entry.hold()).await?;
        }
        if let Some(question) = &ended.question {
            return self.ask(tx, question).await;
        }
        let (merge, task) = (self.entry.merge.id, self.entry.merge.task);
        let input = Input::MergeEnded {
            merge,
            end: ended.end.clone(),
        };
        let applied = step::apply(tx, self.entry.branch.details.id, Some(task), input).await?;
        let worked = self.worked.as_millis() as i64;
        if !tx.end_merge(self.entry.hold(), &ended.end, worked).await? {
            return Err(Failure::NotOurs);
        }
        if let MergeEnd::Landed { commit } = &ended.end {
            tx.save_landed(task, commit).await?;
            if ended.conflicted {
                tx.learn_resolutions(merge).await?;
            }
        }
        if let Some(feedback) = &ended.feedback {
            tx.save_feedback(task, feedback).await?;
        }
        Ok(applied)
    }

    /// Asks a person instead of ending the merge.
    async fn ask(&self, tx: &mut Tx, question: &Question) -> Result<Applied, Failure> {
        let input = Input::PersonAsked {
            merge: self.entry.merge.id,
            conflicts: question.conflicts.clone(),
            why: question.why.message.clone(),
        };
        let applied = step::apply(tx, self.entry.branch.details.id, Some(self.entry.merge.task), input).await?;
        let worked = self.worked.as_millis() as i64;
        match tx.ask_person(self.entry.hold(), &question.why, worked).await? {
            true => Ok(applied),
            false => Err(Failure::NotOurs),
        }
    }

    /// Counts the end, after the commit.
    pub(super) fn count_end(mut self, ended: &Ended) {
        if ended.question.is_some() {
            // Counted when it ends.
            return self.metered.succeeded();
        }
        if let MergeEnd::Error { reason } | MergeEnd::Rejected { reason } = &ended.end {
            self.span.fail(reason.code.as_str());
        }
        telemetry::merge::finished(ended.result(), self.worked);
        self.metered.succeeded();
    }
}
