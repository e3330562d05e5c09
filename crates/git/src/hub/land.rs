//! Moving a branch: compare-and-swap, and what recovery asks afterwards.

use crate::{
    error::{GitError, GitResult, shown},
    hub::{
        Hub,
        durable::{Durable, sync_side_by_side},
        full_name, read_reference,
    },
    ids::{commit_id, commit_oid},
    remote::Remote,
};
use domain::CommitId;
use git2::{ErrorCode, Oid, Repository};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// libgit2 gives up at once where a `.lock` exists; a lock that is in use goes away within milliseconds.
const LOCK_WAIT_LIMIT: Duration = Duration::from_millis(2_000);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(5);

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
    #[error("{}: {} stayed for {waited_ms} ms. If it was left by a crash, it goes once it is old and nobody holds it open", reference, path.display())]
    Locked {
        /// The full name of the branch.
        reference: String,
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited_ms: u128,
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
    /// Moves `reference` from `from` to `to` if it is at `from`, and flushes it to disk. Again is fine.
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
            GitError::Locked { path, waited_ms } => LandError::Locked {
                reference,
                path,
                waited_ms,
            },
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

/// Moves a reference from `from` (`None`: it must not exist) to `to`; one that is at `to` already is fine.
pub(crate) fn compare_and_swap(
    repository: &Repository,
    reference: &str,
    from: Option<&CommitId>,
    to: &CommitId,
) -> GitResult<()> {
    let expected = from.map(commit_oid).transpose()?;
    let target = commit_oid(to)?;
    let started = Instant::now();
    loop {
        // Under the lock libgit2 compares the value with the one given; the zero id stands for "does not exist".
        let current = expected.unwrap_or(Oid::ZERO_SHA1);
        let error = match repository.reference_matching(reference, target, true, current, "orchestrator") {
            Ok(_) => return sync_reference(repository.commondir(), reference, from.is_none()),
            Err(error) => error,
        };
        match error.code() {
            ErrorCode::Locked if started.elapsed() < LOCK_WAIT_LIMIT => thread::sleep(LOCK_RETRY_PAUSE),
            ErrorCode::Locked => {
                let path = lock_path(repository.commondir(), reference);
                return Err(GitError::Locked {
                    path,
                    waited_ms: started.elapsed().as_millis(),
                });
            }
            ErrorCode::Modified | ErrorCode::NotFound | ErrorCode::Exists => {
                let found = read_reference(repository, reference)?;
                return match found == Some(target) {
                    true => Ok(()),
                    false => Err(GitError::Moved {
                        reference: reference.to_owned(),
                        expected: from.cloned(),
                        found: found.map(commit_id),
                    }),
                };
            }
            _ => {
                return Err(GitError::git(
                    format!("can't move {reference} to {}", to.short()),
                    error,
                ));
            }
        }
    }
}

pub(crate) fn lock_path(git_directory: &Path, reference: &str) -> PathBuf {
    git_directory.join(format!("{reference}.lock"))
}

/// libgit2 flushes the file and its directory; for a new reference the directories above may be new as well.
fn sync_reference(git_directory: &Path, reference: &str, is_new: bool) -> GitResult<()> {
    if !is_new {
        return Ok(());
    }
    let file = git_directory.join(reference);
    let above: Vec<PathBuf> = file
        .ancestors()
        .skip(2)
        .take(reference.matches('/').count().saturating_sub(1))
        .map(Path::to_owned)
        .collect();
    sync_side_by_side(&above)
}
