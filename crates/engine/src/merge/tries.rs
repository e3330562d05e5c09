//! How often an entry is tried that fails by itself, over all processes: then it goes back to its worker, with the reason,
//! so that what cannot be merged, whyever, does not hold up what comes after it. An intended landing has no such end:
//! the branch may have moved already, so it is finished by whoever can, at the longest pause.

use super::{
    BranchLock, Failure,
    entry::{Ended, Merger},
};
use crate::context::{Context, step};
use domain::{
    RunId,
    feedback::Feedback,
    input::Input,
    merge::MergeEnd,
    run::{Reason, ReasonCode},
};
use store::merge::{Hold, QueuedMerge};

impl Merger {
    /// Counts a failure; how the entry ends if that was its last try.
    pub(super) async fn tries_used(&self, why: &str) -> Result<Option<Ended>, Failure> {
        let failures = failures(&self.entry.branch.context, self.entry.hold(), why).await?;
        Ok(spent(&self.entry.branch.context, failures, why)
            .filter(|_| !self.entry.merge.intended)
            .map(|message| self.entry.rejected(ReasonCode::Internal, &message, false)))
    }
}

/// Counts a failure that came before any entry was taken in hand against the one whose turn it is.
pub(super) async fn count_against_first(context: &Context, run: RunId, lock: &BranchLock, why: &str) {
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
        match spent(context, failures, why).filter(|_| !first.intended) {
            Some(message) => reject(context, first, hold, &message).await,
            None => Ok(()),
        }
    };
    if let Err(error) = counted.await {
        tracing::debug!(%run, %error, "a failure was not counted; the next is");
    }
}

/// Shows at the tasks in the queue what is away that it waits for, or that nothing is any more.
pub(super) async fn show_outage(context: &Context, run: RunId, of: Option<&str>) {
    if let Err(error) = context.store.show_merges_blocked_on(run, of).await {
        tracing::debug!(%run, %error, "what a merge waits for is not shown");
    }
    context.wake.progressed();
}

async fn failures(context: &Context, hold: Hold<'_>, why: &str) -> Result<u32, Failure> {
    let why = telemetry::secrets::redact(why);
    let failures = context.store.merge_failed(hold, &why).await?;
    failures.ok_or(Failure::NotOurs)
}

fn spent(context: &Context, failures: u32, why: &str) -> Option<String> {
    let limit = context.settings.merge_tries.max(1);
    (failures >= limit).then(|| {
        format!("the merge could not be made in {failures} tries (limit merge_tries = {limit}), the last time because: {why}")
    })
}

/// Ends an entry that nobody has in hand.
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
