//! One entry of the queue in a merger's hands, and what is written down about it.

use super::{BEGINNINGS, BranchLock, Failure, gates::Gates};
use crate::{
    context::{
        Context,
        step::{self, Applied},
    },
    trace,
};
use domain::{
    CommitId,
    event::Event,
    feedback::{FailedGate, Feedback},
    gate::GateReport,
    input::Input,
    integrity::IntegrityFlag,
    merge::{MergeEnd, MergeState},
    run::{Reason, ReasonCode},
};
use git::Hub;
use std::{sync::Arc, time::Duration};
use store::{
    Tx,
    merge::{BroughtRow, Hold, QueuedMerge},
    resolution::ResolutionRow,
    run::RunDetails,
};
use telemetry::{
    TraceContext,
    merge::MergeResult,
    queue::EffectRunning,
    span::{self, SpanGuard, SpanKind},
};

/// How a merge ended, with what its task's next attempt is to be told.
pub(super) struct Ended {
    pub(super) end: MergeEnd,
    pub(super) feedback: Option<Feedback>,
    pub(super) conflicted: bool,
    /// What a person is asked instead: then it does not end here.
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

    /// Whether the gate refused it.
    fn is_refused(&self) -> bool {
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

/// What a person is asked.
pub(super) struct Question {
    /// Conflicted paths.
    pub(super) conflicts: Vec<String>,
    /// Why.
    pub(super) why: Reason,
}

/// The branch that is merged onto, and the lease it is held under. Clones share everything.
#[derive(Clone)]
pub(super) struct Branch {
    pub(super) context: Context,
    pub(super) gates: Gates,
    pub(super) details: Arc<RunDetails>,
    pub(super) hub: Arc<Hub>,
    pub(super) lock: Arc<BranchLock>,
}

/// An entry of the queue. It is shared with its gate.
pub(super) struct Entry {
    pub(super) branch: Branch,
    pub(super) merge: QueuedMerge,
    pub(super) trace: TraceContext,
}

/// An entry on its way onto the branch, and what it has taken so far.
pub(super) struct Merger {
    pub(super) entry: Arc<Entry>,
    /// Time spent merging, resolving and landing.
    pub(super) worked: Duration,
    span: SpanGuard,
    metered: EffectRunning,
}

impl Merger {
    /// Takes an entry in hand: its wait is over.
    pub(super) fn take(branch: &Branch, merge: QueuedMerge) -> Self {
        let span = begin_span(branch, &merge);
        let entry = Entry {
            branch: branch.clone(),
            trace: span.context(),
            merge,
        };
        Self {
            entry: Arc::new(entry),
            worked: Duration::ZERO,
            span,
            metered: telemetry::queue::started("merge"),
        }
    }

    /// An attempt at it failed for a reason that may pass.
    pub(super) fn failed(&mut self) {
        std::mem::replace(&mut self.metered, telemetry::queue::started("merge")).failed();
        telemetry::queue::retried("merge");
    }

    /// It is left to whoever comes next.
    pub(super) fn put_down(mut self) {
        self.span.fail("put_down");
    }

    /// Why it is not begun once more.
    pub(super) fn poison(&self) -> Option<Ended> {
        (self.entry.merge.claims >= BEGINNINGS && !self.entry.merge.intended).then(|| {
            let message = format!("{BEGINNINGS} processes began the merge and ended under it");
            Ended::error(ReasonCode::Poison, message, false)
        })
    }

    async fn record_end(&self, tx: &mut Tx, ended: &Ended) -> Result<Applied, Failure> {
        if ended.conflicted && ended.is_refused() {
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

    /// Puts the question in place of the merge's end.
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

    fn told(mut self, ended: &Ended) {
        if ended.question.is_some() {
            // It is counted when it ends.
            return self.metered.succeeded();
        }
        if let MergeEnd::Error { reason } | MergeEnd::Rejected { reason } = &ended.end {
            self.span.fail(reason.code.as_str());
        }
        telemetry::merge::finished(ended.result(), self.worked);
        self.metered.succeeded();
    }
}

impl Entry {
    /// What a write about it names.
    pub(super) fn hold(&self) -> Hold<'_> {
        Hold {
            merge: self.merge.id,
            lease: self.branch.lock.lease(),
        }
    }

    /// Says what it was brought together to, and what comes next. Fails when it is no longer ours.
    pub(super) async fn brought(
        &self,
        state: MergeState,
        row: BroughtRow<'_>,
        details: Vec<Event>,
    ) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.brought(self.hold(), state, row).await? {
            return Err(Failure::NotOurs);
        }
        self.tell(tx, details).await
    }

    /// Records what was found about a merge that lands without a gate.
    pub(super) async fn ungated(&self, flags: &[IntegrityFlag]) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        let new = tx.save_integrity_flags(self.hold(), flags).await?;
        self.tell(tx, self.flagged(&new)).await?;
        count(&new);
        Ok(())
    }

    /// Records the gate's report on a merge commit, and what was found about its integrity.
    pub(super) async fn gated(
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
        let mut details = vec![event];
        details.extend(self.flagged(&new));
        self.tell(tx, details).await?;
        count(&new);
        Ok(())
    }

    /// A event for each flag.
    fn flagged(&self, flags: &[IntegrityFlag]) -> Vec<Event> {
        let merge = self.merge.id;
        let event = |flag: &IntegrityFlag| Event::IntegrityFlagged {
            merge,
            flag: flag.clone(),
        };
        flags.iter().map(event).collect()
    }

    async fn tell(&self, mut tx: Tx, details: Vec<Event>) -> Result<(), Failure> {
        let details: Vec<_> = details
            .into_iter()
            .map(|event| (Some(self.merge.task), event))
            .collect();
        tx.append(self.branch.details.id, &details).await?;
        tx.commit().await?;
        self.branch.context.wake.progressed();
        Ok(())
    }

    /// That it is at a step now.
    pub(super) fn moved(&self, state: MergeState, conflicts: Vec<String>) -> Event {
        Event::MergeProgressed {
            merge: self.merge.id,
            state,
            conflicts,
        }
    }

    /// Records what a layer made of a conflict. Fails when the merge is no longer ours, or has ended.
    pub(super) async fn decided(&self, row: ResolutionRow) -> Result<(), Failure> {
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
        self.tell(tx, vec![event]).await
    }

    /// Lets a decision of an earlier round stand. Fails when the merge is no longer ours.
    pub(super) async fn keeps(&self, id: i64) -> Result<(), Failure> {
        let mut tx = self.branch.progress().await?;
        if !tx.keep_resolution(self.hold(), id).await? {
            return Err(Failure::NotOurs);
        }
        tx.commit().await?;
        Ok(())
    }

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

impl Branch {
    /// A transaction that locks the run and tells of progress.
    async fn progress(&self) -> Result<Tx, Failure> {
        let mut tx = self.context.store.begin_progress().await?;
        tx.lock_run(self.details.id).await?.ok_or(Failure::NotOurs)?;
        Ok(tx)
    }

    /// Whether merged trees are checked here.
    pub(super) fn is_gated(&self) -> bool {
        let check = self.details.check.as_ref();
        check.is_some_and(|check| check.command.is_some())
    }

    /// Takes entries in hand, and says so. Those that have ended meanwhile are left out.
    pub(super) async fn take(&self, entries: Vec<QueuedMerge>) -> Result<Vec<Merger>, Failure> {
        let mut tx = self.progress().await?;
        let (mut taken, mut details) = (Vec::new(), Vec::new());
        for entry in entries {
            let merger = Merger::take(self, entry);
            let first = self.context.pauses.merge_started(merger.entry.merge.id);
            if tx.begin_merge(merger.entry.hold(), first).await? {
                let event = merger.entry.moved(MergeState::Merging, Vec::new());
                details.push((Some(merger.entry.merge.task), event));
                taken.push(merger);
            }
        }
        if taken.is_empty() {
            return Err(Failure::NotOurs);
        }
        tx.append(self.details.id, &details).await?;
        tx.commit().await?;
        self.context.wake.progressed();
        Ok(taken)
    }

    /// Records how entries ended, all in one transaction: the merges, their tasks, the dependents, the log.
    pub(super) async fn finish(&self, ends: Vec<(Merger, Ended)>) -> Result<(), Failure> {
        let mut tx = self.context.store.begin().await?;
        let mut applied = Vec::with_capacity(ends.len());
        for (merger, ended) in &ends {
            applied.push(merger.record_end(&mut tx, ended).await?);
        }
        tx.commit().await?;
        for applied in &applied {
            self.context.applied(applied);
        }
        for (merger, ended) in ends {
            self.context.pauses.merge_ended(merger.entry.merge.id);
            merger.told(&ended);
        }
        Ok(())
    }
}

/// Tells the metrics of flags that are new.
fn count(flags: &[IntegrityFlag]) {
    for flag in flags {
        telemetry::merge::flagged(flag.kind);
    }
}

/// The span of a merge. At its first try it goes back to when the work was queued: the wait is a part of it.
fn begin_span(branch: &Branch, merge: &QueuedMerge) -> SpanGuard {
    let run = trace::of_run(&branch.details.trace);
    let (task, kind) = (trace::of_task(&run, merge.task), SpanKind::Merge { merge: merge.id });
    let mut span = if merge.claims == 0 {
        let waited = Duration::from_millis(merge.waited_ms.max(0) as u64);
        telemetry::merge::lock_waited(waited);
        let queued = trace::at(merge.queued_unix_s);
        let span = span::child_since(&task, kind, queued);
        drop(span::child_since(&span.context(), SpanKind::LockWait, queued));
        span
    } else {
        telemetry::queue::retried("merge");
        span::child(&task, kind)
    };
    span.link(&trace::of_attempt(&run, merge.task, merge.attempt));
    span
}
