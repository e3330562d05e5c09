//! How often an entry is tried that fails by itself, over all processes: then it goes back to its worker, with the reason,
//! so that what cannot be merged, whyever, does not hold up what comes after it. An intended landing has no such end:
//! the branch may have moved already, so it is finished by whoever can, at the longest pause.

use super::{
    Failure,
    entry::{Ended, Merger},
};
use crate::{engine::Engine, step};
use domain::{
    Fence, RunId,
    event::Event,
    merge::MergeEnd,
    run::{Reason, ReasonCode},
};
use serde_json::{Value, json};
use store::merge::{Hold, QueuedMerge};

impl Merger {
    /// Counts a failure; how the entry ends if that was its last try.
    pub(super) async fn tries_used(&self, why: &str) -> Result<Option<Ended>, Failure> {
        let failures = failures(&self.engine, self.hold(), why).await?;
        Ok(spent(&self.engine, failures, why)
            .filter(|_| !self.merge.intended)
            .map(|message| self.rejected(ReasonCode::Internal, &message, json!({}), false)))
    }
}

/// Counts a failure that came before any entry was taken in hand against the one whose turn it is.
pub(super) async fn count_against_first(engine: &Engine, run: RunId, lease: &str, fence: Fence, why: &str) {
    let counted = async {
        let level_s = engine.parts.settings.priority_level.as_secs_f64();
        let queue = engine.parts.store.merge_queue(run, level_s, 1).await?;
        let Some(first) = queue.first() else {
            return Ok(());
        };
        let hold = Hold {
            merge: first.id,
            lease,
            fence,
        };
        let failures = failures(engine, hold, why).await?;
        match spent(engine, failures, why).filter(|_| !first.intended) {
            Some(message) => reject(engine, first, hold, &message).await,
            None => Ok(()),
        }
    };
    if let Err(error) = counted.await {
        tracing::debug!(%run, %error, "a failure was not counted; the next is");
    }
}

/// Shows at the tasks in the queue what is away that it waits for, or that nothing is any more.
pub(super) async fn show_outage(engine: &Engine, run: RunId, of: Option<&str>) {
    if let Err(error) = engine.parts.store.show_merges_blocked_on(run, of).await {
        tracing::debug!(%run, %error, "what a merge waits for is not shown");
    }
    engine.parts.wake.told();
}

async fn failures(engine: &Engine, hold: Hold<'_>, why: &str) -> Result<u32, Failure> {
    let why = telemetry::secrets::redact(why);
    let failures = engine.parts.store.merge_failed(hold, &why).await?;
    failures.ok_or(Failure::NotOurs)
}

fn spent(engine: &Engine, failures: u32, why: &str) -> Option<String> {
    let limit = engine.parts.settings.merge_tries.max(1);
    (failures >= limit).then(|| {
        format!("the merge could not be made in {failures} tries (limit merge_tries = {limit}), the last time because: {why}")
    })
}

/// Ends an entry that nobody has in hand.
async fn reject(engine: &Engine, first: &QueuedMerge, hold: Hold<'_>, message: &str) -> Result<(), Failure> {
    let reason = Reason::new(ReasonCode::Internal, telemetry::secrets::redact(message));
    let feedback: Value = json!({ "attempt": first.attempt, "reason": reason.message });
    let end = MergeEnd::Rejected { reason };
    let event = Event::MergeEnded {
        merge: first.id,
        end: end.clone(),
    };
    let mut tx = engine.parts.store.begin().await?;
    let applied = step::apply(&mut tx, first.run, Some(first.task), event).await?;
    if !tx.end_merge(hold, &end, 0).await? {
        return Err(Failure::NotOurs);
    }
    tx.save_feedback(first.task, &feedback).await?;
    tx.commit().await?;
    engine.applied(&applied);
    engine.parts.troubles.ended(first.id);
    Ok(())
}
