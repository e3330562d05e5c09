//! Landing: intent, compare-and-swap, bookkeeping. An intent is never taken back; whoever comes first finishes it.
//!
//! Several merge commits, each on top of the one before it, land in one move of the branch: the history is the one
//! that landing them one at a time would make, and the disk is waited for once.

use super::{
    Failure, VERDICT_RETRY_LIMIT,
    bring::Built,
    entry::{Branch, Ended, Merger},
};
use crate::context::{RetryPolicy, blocking};
use domain::{CommitId, event::Event, gate::GateReport, run::ReasonCode, task::TaskState};
use git::{LandError, LandingState};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How old a lock file must be before it counts as left over from a crash.
const STALE_LOCK: Duration = Duration::from_secs(10);

/// A merge commit whose very tree passed the gate, or has no gate. Only this may land.
pub(super) struct Validated {
    merger: Merger,
    built: Built,
}

/// Where a branch is after it was to be moved.
enum Moved {
    /// Where it was to go.
    There,
    /// There or further: somebody else moved it, with this in it.
    Beyond,
    /// Elsewhere; in words, why it must not be moved.
    Refused(String),
}

impl Validated {
    /// Made of the gate's report, if that lets it land.
    pub(super) fn new(merger: Merger, built: Built, report: &GateReport) -> Option<Self> {
        report.verdict.lands().then_some(Self { merger, built })
    }
}

impl Branch {
    /// Lands merge commits that stand on top of each other, the first on the branch's tip, and returns where the
    /// branch is then. Those of which the intent could not be written, because their task is gone, stay behind with
    /// all that stand on them: they are put down.
    pub(super) async fn land(&self, mut train: Vec<Validated>) -> Result<Option<CommitId>, Failure> {
        let started = Instant::now();
        let Some(last) = train.last() else {
            return Ok(None);
        };
        // Everything the branch is about to name is on the disk before the intent says so.
        let (hub, commit) = (self.hub.clone(), last.built.merged.clone());
        let durable = blocking(move || hub.make_durable(&commit)).await?;
        // On machines that share no disk, everything it says is where whoever finishes it finds it.
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
            left.merger.put_down();
        }
        let (Some(first), Some(last)) = (train.first(), train.last()) else {
            return Err(Failure::NotOurs);
        };
        let (from, to) = (first.built.tip.clone(), last.built.merged.clone());
        let durable = match *durable.commit() == to {
            true => durable,
            // Known to be on the disk: it is an ancestor of what was flushed.
            false => {
                let (hub, commit) = (self.hub.clone(), to.clone());
                blocking(move || hub.make_durable(&commit)).await?
            }
        };
        let moved = match self.move_branch(&from, durable).await {
            Ok(moved) => moved,
            Err(failure) => {
                // Until it is finished nothing names what is intended, and that may take long.
                self.keep(&train).await;
                return Err(failure);
            }
        };
        let took = started.elapsed();
        let ends = train.into_iter().map(|Validated { mut merger, built }| {
            merger.worked += took;
            let ended = match &moved {
                Moved::There | Moved::Beyond => Ended::landed(built.merged, built.conflicted),
                Moved::Refused(why) => Ended::error(ReasonCode::Moved, why.clone(), built.conflicted),
            };
            (merger, ended)
        });
        self.finish(ends.collect()).await?;
        Ok(match moved {
            Moved::There => Some(to),
            Moved::Beyond | Moved::Refused(_) => None,
        })
    }

    fn candidates(&self, train: &[Validated]) -> Vec<(String, CommitId)> {
        let named = train.iter().map(|Validated { merger, built }| {
            let reference = git::refs::candidate(&self.details.id, &merger.entry.merge.key, &built.merged);
            (reference, built.merged.clone())
        });
        named.collect()
    }

    /// Lets references name what is to land, as well as it goes.
    async fn keep(&self, train: &[Validated]) {
        for (reference, merged) in self.candidates(train) {
            let hub = self.hub.clone();
            if let Err(error) = blocking(move || hub.pin(&reference, &merged)).await {
                tracing::warn!(%error, "a merge commit that is to land has no reference");
            }
        }
    }

    /// Writes the intents, as many from the first on as are still wanted, and returns how many.
    async fn intend(&self, train: &[Validated]) -> Result<usize, Failure> {
        let mut tx = self.context.store.begin().await?;
        tx.lock_run(self.details.id).await?.ok_or(Failure::NotOurs)?;
        let mut details = Vec::with_capacity(train.len());
        for (place, Validated { merger, built }) in train.iter().enumerate() {
            let task = tx.lock_task(merger.entry.merge.task).await?;
            let (tip, merged) = (&built.tip, &built.merged);
            if task.is_none_or(|task| task.state != TaskState::Merging)
                || !tx.intend_landing(merger.entry.hold(), tip, merged, place).await?
            {
                break;
            }
            let event = Event::LandingIntended {
                merge: merger.entry.merge.id,
                commit: merged.clone(),
            };
            details.push((Some(merger.entry.merge.task), event));
        }
        tx.append(self.details.id, &details).await?;
        tx.commit().await?;
        Ok(details.len())
    }

    /// Moves the branch, if it is where it was.
    async fn move_branch(&self, from: &CommitId, durable: git::Durable) -> Result<Moved, Failure> {
        let branch = git::refs::integration(&self.details.id);
        let (hub, from, lock) = (self.hub.clone(), from.clone(), self.lock.clone());
        let (pre, intended) = (from.clone(), durable.commit().clone());
        let landed = blocking(move || match hub.land(&branch, &from, &durable) {
            Err(LandError::Locked { .. }) => {
                // We hold the lease, so nobody else may be at it: an old lock that no process has open is a crash's.
                hub.remove_stale_lock(&branch, &*lock, STALE_LOCK)?;
                hub.land(&branch, &from, &durable)
            }
            other => other,
        })
        .await;
        match landed {
            Ok(_) => Ok(Moved::There),
            Err(error @ LandError::Moved { .. }) => {
                // By whom? What a process that died had begun may have come to its end meanwhile: this very landing,
                // or one that holds it.
                let (branch, hub, from) = (git::refs::integration(&self.details.id), self.hub.clone(), pre);
                match blocking(move || hub.landing_state(&branch, &from, &intended)).await? {
                    LandingState::Landed => Ok(Moved::Beyond),
                    LandingState::NotYet | LandingState::Moved { .. } => Ok(Moved::Refused(error.to_string())),
                }
            }
            Err(LandError::Git(error)) => Err(error.into()),
            Err(error) => Err(Failure::Transient(error.to_string())),
        }
    }

    /// Finishes a landing whose intent was written: by this process before an error, or by one that died.
    pub(super) async fn recover_landing(&self, mut merger: Merger) -> Result<(), Failure> {
        let started = Instant::now();
        let (Some(tip), Some(merged)) = (merger.entry.merge.tip.clone(), merger.entry.merge.merged.clone()) else {
            return Err(Failure::Transient("the intent names no commits".into()));
        };
        let branch = git::refs::integration(&self.details.id);
        let conflicted = merger.entry.merge.conflicted;
        let (hub, own, from, to) = (self.hub.clone(), branch.clone(), tip.clone(), merged.clone());
        let candidate = git::refs::candidate(&self.details.id, &merger.entry.merge.key, &to);
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
        merger.worked += started.elapsed();
        self.finish(vec![(merger, ended)]).await
    }
}
