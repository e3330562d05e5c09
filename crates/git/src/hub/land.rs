//! Moving a branch: compare-and-swap, and what recovery asks afterwards.

use crate::{
    error::{GitError, GitResult, shown},
    hub::{
        Hub,
        durable::Durable,
        reference::{compare_and_swap, full_name, read_reference},
    },
    ids::commit_oid,
    lock_file::HeldLock,
    remote::Remote,
};
use domain::CommitId;

/// The branch is where it was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// This call moved it.
    Moved,
    /// It was there already: an earlier call had moved it.
    Already,
}

/// Why a branch did not move. In each case nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// The branch is not where the merge was made for.
    #[error(
        "{reference} is at {}, not at {}: someone else moved it. Nothing is forced, and nothing was changed",
        shown(.found), .expected.short()
    )]
    Moved {
        /// The full name of the branch.
        reference: String,
        /// Where the merge was made for.
        expected: CommitId,
        /// Where it is; `None`: it does not exist.
        found: Option<CommitId>,
    },
    /// A lock file stayed for the whole wait.
    #[error("{reference}: {lock}")]
    Locked {
        /// The full name of the branch.
        reference: String,
        /// The lock file.
        lock: HeldLock,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Where a branch stands as seen from a recorded intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LandingState {
    /// The branch is at the intended commit or beyond it: finish the bookkeeping.
    Landed,
    /// The branch is where it was: move it.
    NotYet,
    /// The branch is elsewhere: stop, and say so.
    Moved {
        /// Where it is; `None`: it does not exist.
        found: Option<CommitId>,
    },
}

impl Hub {
    /// Moves `reference` from `from` to `to` if it is at `from`, and flushes it to disk. Repeating it is fine.
    pub fn land(&self, reference: &str, from: &CommitId, to: &Durable) -> Result<Landed, LandError> {
        let reference = full_name(reference);
        let moved = match &self.upstream {
            Some(upstream) => self.land_upstream(upstream, &reference, from, to),
            None => self.land_here(&reference, from, to),
        };
        moved.map_err(|error| match error {
            GitError::Moved { found, .. } => LandError::Moved {
                reference,
                expected: from.clone(),
                found,
            },
            GitError::Locked(lock) => LandError::Locked { reference, lock },
            error => error.into(),
        })
    }

    fn land_here(&self, reference: &str, from: &CommitId, to: &Durable) -> GitResult<Landed> {
        let _moving = self.moving()?;
        self.with(|handle| {
            if read_reference(&handle.refs, reference)? == Some(commit_oid(to.commit())?) {
                return Ok(Landed::Already);
            }
            compare_and_swap(&handle.refs, reference, Some(from), to.commit())?;
            Ok(Landed::Moved)
        })
    }

    /// The push is the landing; that the copy follows it is only so that nobody asks.
    fn land_upstream(&self, upstream: &Remote, reference: &str, from: &CommitId, to: &Durable) -> GitResult<Landed> {
        let moved = self.publish(upstream, reference, Some(from), to.commit())?;
        self.set_here(reference, to.commit())?;
        Ok(match moved {
            true => Landed::Moved,
            false => Landed::Already,
        })
    }

    /// Compares a branch with an intent: `pre` where it stood, `intended` where it was to go.
    pub fn landing_state(&self, reference: &str, pre: &CommitId, intended: &CommitId) -> GitResult<LandingState> {
        let found = self.tip(reference)?;
        Ok(match &found {
            Some(tip) if tip == pre => LandingState::NotYet,
            Some(tip) if self.holds(intended, tip)? => LandingState::Landed,
            _ => LandingState::Moved { found },
        })
    }
}
