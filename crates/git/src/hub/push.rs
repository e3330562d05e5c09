//! Pushing a delivered branch to a remote: it is created or goes forward, and never loses what others pushed.

use crate::{
    error::{GitResult, shown},
    hub::{Hub, history::is_ancestor},
    ids::commit_oid,
    remote::{PushError, Remote, transport::Answer},
};
use domain::CommitId;
use git2::Reference;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pushed {
    /// The branch is new on the remote.
    Created,
    /// The branch went forward on the remote.
    Updated,
    /// The branch was there already.
    Already,
    /// The remote is as it was.
    Rejected(PushRejection),
}

/// Why the branch of a remote did not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushRejection {
    /// It is not where it was expected: someone else moved it.
    Moved {
        /// Where it was expected; `None`: it was not expected to exist.
        expected: Option<CommitId>,
        /// Where it is; `None`: it does not exist.
        found: Option<CommitId>,
    },
    /// It holds commits that ours does not.
    NotForward {
        /// Where it is.
        found: CommitId,
    },
    /// A hook or a rule of the remote.
    ByRemote {
        /// What the remote said.
        said: String,
    },
}

impl fmt::Display for PushRejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { expected, found } => write!(
                formatter,
                "the branch was expected at {}, but is at {}: someone else moved it",
                shown(expected),
                shown(found)
            ),
            Self::NotForward { found } => write!(
                formatter,
                "the branch is at {}, which this result does not contain",
                found.short()
            ),
            Self::ByRemote { said } => write!(formatter, "the remote refused: {said}"),
        }
    }
}

impl Hub {
    /// Where a branch is on a remote; `None` if it does not exist. The caller records it before it pushes.
    pub fn remote_tip(&self, remote: &Remote, branch: &str) -> Result<Option<CommitId>, PushError> {
        let reference = reference(branch)?;
        let found = remote.references(self.path(), &[&reference])?;
        Ok(found.into_iter().map(|(_, at)| at).next())
    }

    /// Moves a branch of a remote from `expected` (`None`: it must not exist) to `commit`. Only creates it or moves it
    /// forward. No hook of ours runs. Repeating it is fine: where the branch is there already, nothing happens.
    pub fn push(
        &self,
        remote: &Remote,
        branch: &str,
        expected: Option<&CommitId>,
        commit: &CommitId,
    ) -> Result<Pushed, PushError> {
        let reference = reference(branch)?;
        if let Some(old) = expected
            && !self.holds(old, commit)?
        {
            // What the remote has is not in the commit, or not even in the hub.
            return Ok(match self.remote_tip(remote, branch)? {
                Some(found) if found == *commit => Pushed::Already,
                Some(found) if found == *old => Pushed::Rejected(PushRejection::NotForward { found }),
                found => Pushed::Rejected(moved(expected, found)),
            });
        }
        let answer = remote.send(self.path(), &reference, expected, commit)?;
        match answer {
            Answer::New => Ok(Pushed::Created),
            Answer::Forward => Ok(Pushed::Updated),
            Answer::UpToDate => Ok(Pushed::Already),
            Answer::Stale => {
                let found = self.remote_tip(remote, branch)?;
                Ok(match found.as_ref() == Some(commit) {
                    true => Pushed::Already,
                    false => Pushed::Rejected(moved(expected, found)),
                })
            }
            // Another push is under way there, so this one may be made again.
            Answer::Locked(said) => Err(PushError::Unreachable {
                address: remote.address().to_owned(),
                said,
            }),
            Answer::Refused(said) => Ok(Pushed::Rejected(PushRejection::ByRemote { said })),
        }
    }

    /// Whether `old` is known here and an ancestor of `commit`.
    pub fn holds(&self, old: &CommitId, commit: &CommitId) -> GitResult<bool> {
        let (old, commit) = (commit_oid(old)?, commit_oid(commit)?);
        self.with(|handle| {
            let known = handle.objects.find_commit(old).is_ok();
            Ok(known && is_ancestor(&handle.objects, old, commit)?)
        })
    }
}

/// Whether a branch of a remote may have this name.
pub fn check_branch(branch: &str) -> Result<(), PushError> {
    reference(branch).map(drop)
}

fn reference(branch: &str) -> Result<String, PushError> {
    let reference = format!("refs/heads/{branch}");
    match Reference::is_valid_name(&reference) && !branch.starts_with('-') {
        true => Ok(reference),
        false => Err(PushError::BadBranch {
            branch: branch.to_owned(),
        }),
    }
}

fn moved(expected: Option<&CommitId>, found: Option<CommitId>) -> PushRejection {
    PushRejection::Moved {
        expected: expected.cloned(),
        found,
    }
}
