//! Landing: intent, compare-and-swap, bookkeeping. An intent is never taken back; whoever comes first finishes it.

use super::{Ended, Failure, Merger};
use crate::engine::blocking;
use domain::{CommitId, event::Fact, run::ReasonCode, task::TaskState};
use git::{LandError, LandingLock, LandingState};
use std::time::Duration;

/// How old a lock file must be before it counts as left over from a crash.
const STALE_LOCK: Duration = Duration::from_secs(10);

/// A merge commit whose very tree passed the gate, or has no gate. Only this may land.
pub(super) struct Validated {
    tip: CommitId,
    merged: CommitId,
    conflicted: bool,
}

impl Validated {
    /// Made by the verification alone.
    pub(super) fn new(tip: CommitId, merged: CommitId, conflicted: bool) -> Self {
        Self {
            tip,
            merged,
            conflicted,
        }
    }
}

impl Merger<'_> {
    /// Writes the intent, then moves the branch.
    pub(super) async fn land(&self, validated: Validated) -> Result<Ended, Failure> {
        // Everything the branch is about to name is on the disk before the intent says so.
        let (hub, commit) = (self.hub.clone(), validated.merged.clone());
        let durable = blocking(move || hub.make_durable(&commit)).await?;
        self.intend(&validated).await?;
        self.move_branch(&validated, durable).await
    }

    async fn intend(&self, validated: &Validated) -> Result<(), Failure> {
        let mut tx = self.engine.parts.store.begin().await?;
        tx.lock_run(self.facts.id).await?.ok_or(Failure::NotOurs)?;
        let task = tx.lock_task(self.merge.task).await?.ok_or(Failure::NotOurs)?;
        if task.state != TaskState::Merging {
            return Err(Failure::NotOurs);
        }
        let (tip, merged) = (&validated.tip, &validated.merged);
        if !tx
            .intend_landing(self.merge.id, self.lease, self.fence, tip, merged)
            .await?
        {
            return Err(Failure::NotOurs);
        }
        let fact = Fact::LandingIntended {
            merge: self.merge.id,
            commit: merged.clone(),
        };
        tx.append(self.facts.id, &[(Some(self.merge.task), fact)]).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn move_branch(&self, validated: &Validated, durable: git::Durable) -> Result<Ended, Failure> {
        let branch = git::refs::integration(&self.facts.id);
        let (hub, tip, fence) = (self.hub.clone(), validated.tip.clone(), self.fence);
        let landed = blocking(move || match hub.land(&branch, &tip, &durable) {
            Err(LandError::Locked { .. }) => {
                // We hold the lease, so nobody else may be at it: an old lock that no process has open is a crash's.
                hub.remove_stale_lock(&branch, &LandingLock::held_under(fence), STALE_LOCK)?;
                hub.land(&branch, &tip, &durable)
            }
            other => other,
        })
        .await;
        match landed {
            Ok(_) => Ok(Ended::landed(validated.merged.clone(), validated.conflicted)),
            Err(error @ LandError::Moved { .. }) => {
                Ok(Ended::error(ReasonCode::Moved, error.to_string(), validated.conflicted))
            }
            Err(error) => Err(Failure::Passing(error.to_string())),
        }
    }

    /// Finishes a landing whose intent was written: by this process before an error, or by one that died.
    pub(super) async fn recover_landing(&self) -> Result<Ended, Failure> {
        let (Some(tip), Some(merged)) = (self.merge.tip.clone(), self.merge.merged.clone()) else {
            return Err(Failure::Passing("the intent names no commits".into()));
        };
        let branch = git::refs::integration(&self.facts.id);
        let conflicted = self.merge.conflicted;
        let (hub, own, from, to) = (self.hub.clone(), branch.clone(), tip.clone(), merged.clone());
        match blocking(move || hub.landing_state(&own, &from, &to)).await? {
            LandingState::Landed => Ok(Ended::landed(merged, conflicted)),
            LandingState::NotYet => {
                let (hub, commit) = (self.hub.clone(), merged.clone());
                let durable = blocking(move || hub.make_durable(&commit)).await?;
                self.move_branch(
                    &Validated {
                        tip,
                        merged,
                        conflicted,
                    },
                    durable,
                )
                .await
            }
            LandingState::Moved { found } => {
                let found = found.map_or_else(|| "gone".to_owned(), |commit| commit.to_string());
                Ok(Ended::error(
                    ReasonCode::Moved,
                    format!("the branch {branch} was moved by someone else: it is {found}; nothing is forced"),
                    conflicted,
                ))
            }
        }
    }
}
