//! Limits on retries of an entry that keeps failing, over all processes.
//!
//! At the limit the entry goes back to its worker with the reason, so that it does not block the queue. An intended
//! landing has no limit: the branch may have moved already, so every process retries it.

use super::{BranchLock, Failure, end::Ended, entry::ActiveMerge};
use crate::context::{Context, step};
use domain::{
    RunId,
    feedback::Feedback,
    input::Input,
    merge::MergeEnd,
    run::{Reason, ReasonCode},
};
use store::merge::{Hold, QueuedMerge};

impl ActiveMerge {
    /// Counts a failure. Returns how the entry ends, if that was its last try.
    pub(super) async fn count_failure(&self, why: &str) -> Result<Option<Ended>, Failure> {
        let failures = failures(&self.entry.branch.context, self.entry.hold(), why).await?;
        Ok(exhausted(&self.entry.branch.context, failures, why)
            .filter(|_| !self.entry.merge.intended)
            .map(|message| self.entry.rejected(ReasonCode::Internal, &message, false)))
    }
}

/// Logs a failed turn, shows an outage at the waiting tasks, and counts what is not counted yet.
pub(super) async fn record(context: &Context, run: RunId, lock: &BranchLock, failure: Failure) {
    tracing::warn!(%run, error = %failure, "merge failed; retrying");
    match failure {
        Failure::Outage { of, .. } => show_outage(context, run, Some(of)).await,
        Failure::Transient(error) => count_against_first(context, run, lock, &error.to_string()).await,
        Failure::Counted(_) | Failure::NotOurs | Failure::Stopped => {}
    }
}

/// Counts a failure that came before any entry was claimed, against the first of the queue.
async fn count_against_first(context: &Context, run: RunId, lock: &BranchLock, why: &str) {
    let counted = async {
        let level_s = context.settings.priority_level.as_secs_f64();
        let queue = context.store.merge_queue(run, level_s, 1).await?;
        let Some(first) = queue.first() else {
            return Ok(());
        };
        let hold = Hold {
            merge: first.id,
            lease: lock.lease(),
        };
        let failures = failures(context, hold, why).await?;
        match exhausted(context, failures, why).filter(|_| !first.intended) {
            Some(message) => reject(context, first, hold, &message).await,
            None => Ok(()),
        }
    };
    if let Err(error) = counted.await {
        tracing::debug!(%run, %error, "could not count a merge failure");
    }
}

/// Shows at the queued tasks which outage they wait for; `None`: no longer any.
pub(super) async fn show_outage(context: &Context, run: RunId, of: Option<&str>) {
    if let Err(error) = context.store.show_merges_blocked_on(run, of).await {
        tracing::debug!(%run, %error, "could not show what the merges wait for");
    }
    context.wake.progressed();
}

async fn failures(context: &Context, hold: Hold<'_>, why: &str) -> Result<u32, Failure> {
    let why = telemetry::secrets::redact(why);
    let failures = context.store.merge_failed(hold, &why).await?;
    failures.ok_or(Failure::NotOurs)
}

fn exhausted(context: &Context, failures: u32, why: &str) -> Option<String> {
    let limit = context.settings.merge_tries.max(1);
    (failures >= limit).then(|| {
        format!("the merge failed {failures} times (limit merge_tries = {limit}), the last time because: {why}")
    })
}

/// Rejects an entry that is not claimed.
async fn reject(context: &Context, first: &QueuedMerge, hold: Hold<'_>, message: &str) -> Result<(), Failure> {
    let reason = Reason::new(ReasonCode::Internal, telemetry::secrets::redact(message));
    let feedback = Feedback::new(first.attempt, &reason.message);
    let end = MergeEnd::Rejected { reason };
    let input = Input::MergeEnded {
        merge: first.id,
        end: end.clone(),
    };
    let mut tx = context.store.begin().await?;
    let applied = step::apply(&mut tx, first.run, Some(first.task), input).await?;
    if !tx.end_merge(hold, &end, 0).await? {
        return Err(Failure::NotOurs);
    }
    tx.save_feedback(first.task, &feedback).await?;
    tx.commit().await?;
    context.applied(&applied);
    context.pauses.merge_ended(first.id);
    Ok(())
}
