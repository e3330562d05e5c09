//! Landing: intent, compare-and-swap, bookkeeping. An intent is never taken back; the next process finishes it.
//!
//! Several merge commits, each on top of the one before it, land in one move of the branch: the history is the one
//! that landing them one at a time would make, and the disk is flushed once.

use super::{Failure, VERDICT_RETRY_LIMIT, branch::Branch, build::Built, end::Ended, entry::ActiveMerge};
use crate::context::{RetryPolicy, blocking};
use domain::{CommitId, event::Event, gate::GateReport, run::ReasonCode, task::TaskState};
use git::{LandError, LandingState};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How old a lock file must be before it counts as left over from a crash.
const STALE_LOCK: Duration = Duration::from_secs(10);

/// A merge commit whose own tree passed the gate, or has no gate. Only this may land.
pub(super) struct Validated {
    active: ActiveMerge,
    built: Built,
}

/// Where the branch is after the attempt to move it.
enum Moved {
    /// At the new commit.
    There,
    /// At the new commit or beyond: someone else moved it, with this commit in it.
    Beyond,
    /// Elsewhere, with the reason why it must not be moved.
    Refused(String),
}

impl Validated {
    /// From the gate's report, if its verdict allows landing.
    pub(super) fn new(active: ActiveMerge, built: Built, report: &GateReport) -> Option<Self> {
        report.verdict.lands().then_some(Self { active, built })
    }
}

impl Branch {
    /// Lands merge commits on top of each other, the first on the branch's tip. Returns where the branch is then; `None`
    /// where it is not at the last of them. An entry whose task has ended gets no intent: it is released, with all that
    /// are built on it.
    pub(super) async fn land(&self, mut train: Vec<Validated>) -> Result<Option<CommitId>, Failure> {
        let started = Instant::now();
        let Some(last) = train.last() else {
            return Ok(None);
        };
        // Everything the branch will name is on disk before the intent is written.
        let (hub, commit) = (self.hub.clone(), last.built.merged.clone());
        let durable = blocking(move || hub.make_durable(&commit)).await?;
        // Machines that share no disk find it in the shared hub, in case they finish the landing.
        let (drain, offered) = (&self.context.drain, Arc::new(self.candidates(&train)));
        RetryPolicy::until(drain)
            .within(VERDICT_RETRY_LIMIT)
            .run(|| {
                let (hub, offered) = (self.hub.clone(), offered.clone());
                blocking(move || hub.offer(&offered))
            })
            .await?;
        let intended = self.intend(&train).await?;
        for left in train.split_off(intended) {
            left.active.release();
        }
        let (Some(first), Some(last)) = (train.first(), train.last()) else {
            return Err(Failure::NotOurs);
        };
        let (from, to) = (first.built.tip.clone(), last.built.merged.clone());
        let durable = match *durable.commit() == to {
            true => durable,
            // Already on disk: it is an ancestor of the flushed commit.
            false => {
                let (hub, commit) = (self.hub.clone(), to.clone());
                blocking(move || hub.make_durable(&commit)).await?
            }
        };
        let moved = match self.move_branch(&from, durable).await {
            Ok(moved) => moved,
            Err(failure) => {
                // Until the landing is finished, which may take long, nothing else names these commits.
                self.pin_candidates(&train).await;
                return Err(failure);
            }
        };
        let took = started.elapsed();
        let ends = train.into_iter().map(|Validated { mut active, built }| {
            active.worked += took;
            let ended = match &moved {
                Moved::There | Moved::Beyond => Ended::landed(built.merged, built.conflicted),
                Moved::Refused(why) => Ended::error(ReasonCode::Moved, why.clone(), built.conflicted),
            };
            (active, ended)
        });
        self.finish(ends.collect()).await?;
        Ok(match moved {
            Moved::There => Some(to),
            Moved::Beyond | Moved::Refused(_) => None,
        })
    }

    fn candidates(&self, train: &[Validated]) -> Vec<(String, CommitId)> {
        let named = train.iter().map(|Validated { active, built }| {
            let reference = git::refs::candidate(&self.details.id, &active.entry.merge.key, &built.merged);
            (reference, built.merged.clone())
        });
        named.collect()
    }

    /// Makes references to the commits that are to land; failures are logged.
    async fn pin_candidates(&self, train: &[Validated]) {
        for (reference, merged) in self.candidates(train) {
            let hub = self.hub.clone();
            if let Err(error) = blocking(move || hub.pin(&reference, &merged)).await {
                tracing::warn!(%error, "could not make a reference to a merge commit that is to land");
            }
        }
    }

    /// Writes the intents up to the first entry whose task has ended, and returns how many.
    async fn intend(&self, train: &[Validated]) -> Result<usize, Failure> {
        let mut tx = self.context.store.begin().await?;
        tx.lock_run(self.details.id).await?.ok_or(Failure::NotOurs)?;
        let mut events = Vec::with_capacity(train.len());
        for (place, Validated { active, built }) in train.iter().enumerate() {
            let task = tx.lock_task(active.entry.merge.task).await?;
            let (tip, merged) = (&built.tip, &built.merged);
            if task.is_none_or(|task| task.state != TaskState::Merging)
                || !tx.intend_landing(active.entry.hold(), tip, merged, place).await?
            {
                break;
            }
            let event = Event::LandingIntended {
                merge: active.entry.merge.id,
                commit: merged.clone(),
            };
            events.push((Some(active.entry.merge.task), event));
        }
        tx.append(self.details.id, &events).await?;
        tx.commit().await?;
        Ok(events.len())
    }

    /// Moves the branch, if it is still at `from`.
    async fn move_branch(&self, from: &CommitId, durable: git::Durable) -> Result<Moved, Failure> {
        let branch = git::refs::integration(&self.details.id);
        let (hub, from, lock) = (self.hub.clone(), from.clone(), self.lock.clone());
        let (pre, intended) = (from.clone(), durable.commit().clone());
        let landed = blocking(move || match hub.land(&branch, &from, &durable) {
            Err(LandError::Locked { .. }) => {
                // We hold the lease, so no other process may hold the lock: an old one that none has open is stale.
                hub.remove_stale_lock(&branch, &*lock, STALE_LOCK)?;
                hub.land(&branch, &from, &durable)
            }
            other => other,
        })
        .await;
        match landed {
            Ok(_) => Ok(Moved::There),
            Err(error @ LandError::Moved { .. }) => {
                // A crashed process's landing may have finished meanwhile: this one, or one that contains it.
                let (branch, hub, from) = (git::refs::integration(&self.details.id), self.hub.clone(), pre);
                match blocking(move || hub.landing_state(&branch, &from, &intended)).await? {
                    LandingState::Landed => Ok(Moved::Beyond),
                    LandingState::NotYet | LandingState::Moved { .. } => Ok(Moved::Refused(error.to_string())),
                }
            }
            Err(LandError::Git(error)) => Err(error.into()),
            Err(error) => Err(Failure::transient(error)),
        }
    }

    /// Finishes a landing whose intent was written, by this process before an error or by one that crashed.
    pub(super) async fn recover_landing(&self, mut active: ActiveMerge) -> Result<(), Failure> {
        let started = Instant::now();
        let (Some(tip), Some(merged)) = (active.entry.merge.tip.clone(), active.entry.merge.merged.clone()) else {
            return Err(Failure::transient("the intent names no commits"));
        };
        let branch = git::refs::integration(&self.details.id);
        let conflicted = active.entry.merge.conflicted;
        let (hub, own, from, to) = (self.hub.clone(), branch.clone(), tip.clone(), merged.clone());
        let candidate = git::refs::candidate(&self.details.id, &active.entry.merge.key, &to);
        let state = move || {
            hub.follow_fixed(&candidate)?;
            hub.landing_state(&own, &from, &to)
        };
        let moved = match blocking(state).await? {
            LandingState::Landed => Moved::Beyond,
            LandingState::NotYet => {
                let (hub, commit) = (self.hub.clone(), merged.clone());
                let durable = blocking(move || hub.make_durable(&commit)).await?;
                self.move_branch(&tip, durable).await?
            }
            LandingState::Moved { found } => {
                let found = found.map_or_else(|| "gone".to_owned(), |commit| commit.to_string());
                Moved::Refused(format!(
                    "the branch {branch} was moved by someone else: it is {found}; nothing is forced"
                ))
            }
        };
        let ended = match moved {
            Moved::There | Moved::Beyond => Ended::landed(merged, conflicted),
            Moved::Refused(why) => Ended::error(ReasonCode::Moved, why, conflicted),
        };
        active.worked += started.elapsed();
        self.finish(vec![(active, ended)]).await
    }
}
