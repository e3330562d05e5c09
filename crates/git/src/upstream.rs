//! A hub on several machines. Each machine has a copy of its own; the repository that all reach, the *upstream*, says
//! where references are. They move there first, by a push with a lease, which is the compare-and-swap of landing; a
//! copy follows. Objects come with the references that name them, so a copy holds all of what its references reach.

use crate::{
    create,
    error::{GitError, GitResult},
    hub::{Hub, read_reference},
    ids::{commit_id, commit_oid},
    land,
    push::PushError,
    refs,
    remote::Remote,
    transport::{Answer, Move},
};
use domain::{CommitId, RunId};
use git2::Repository;
use std::path::Path;

/// References that are moved by one push.
const AT_ONCE: usize = 100;
/// So often is a reference of the copy set that others set, too.
const FOLLOW_TRIES: usize = 5;

impl Hub {
    /// Opens this machine's copy of a hub that others reach, too, making an empty one if there is none yet.
    pub fn open_copy(hub_path: &Path, upstream: Remote) -> GitResult<Self> {
        Ok(Self::at(create::ensure(hub_path, None)?).with_upstream(upstream))
    }

    /// Lets the repository that all machines reach decide where references are.
    #[must_use]
    pub fn with_upstream(mut self, upstream: Remote) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// Makes the upstream, where it is a path of this machine and nothing is there. Elsewhere whoever keeps it makes
    /// it: an empty bare repository.
    pub fn make_upstream(&self) -> GitResult<()> {
        match &self.upstream {
            Some(upstream) => match upstream.path() {
                Some(path) if !path.exists() => create::upstream(&path),
                Some(_) | None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Brings in what the upstream has under these names (full, or with `*`). Without an upstream all is here.
    pub fn follow(&self, patterns: &[&str]) -> GitResult<()> {
        let Some(upstream) = &self.upstream else {
            return Ok(());
        };
        let found = self.remote_references(upstream, patterns)?;
        let mut news = Vec::new();
        for (name, at) in &found {
            if self.tip_here(name)?.as_ref() != Some(at) {
                news.push((name.as_str(), at));
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = news.iter().map(|(name, _)| *name).collect();
        self.fetch_objects(upstream, &names)?;
        news.into_iter().try_for_each(|(name, at)| self.set_here(name, at))
    }

    /// As [`Self::follow`], for a reference that never moves because its name holds its commit: asks nobody where it is
    /// here already.
    pub fn follow_fixed(&self, reference: &str) -> GitResult<()> {
        match self.tip_here(reference)? {
            Some(_) => Ok(()),
            None => self.follow(&[reference]),
        }
    }

    /// Puts commits where the other machines find them, each under a name that holds it. Without an upstream nothing is
    /// to be done.
    pub fn offer(&self, commits: &[(String, CommitId)]) -> GitResult<()> {
        let Some(upstream) = &self.upstream else {
            return Ok(());
        };
        let new: Vec<Move<'_>> = commits
            .iter()
            .map(|(reference, commit)| Move {
                reference,
                expected: None,
                to: Some(commit),
            })
            .collect();
        new.chunks(AT_ONCE)
            .try_for_each(|some| self.send_all_accepted(upstream, some))?;
        commits.iter().try_for_each(|(name, at)| self.set_here(name, at))
    }

    /// Where the upstream has a reference. The copy follows.
    pub(crate) fn tip_upstream(&self, upstream: &Remote, reference: &str) -> GitResult<Option<CommitId>> {
        let found = self.remote_references(upstream, &[reference])?;
        let Some((_, at)) = found.into_iter().next() else {
            return Ok(None);
        };
        if self.tip_here(reference)?.as_ref() != Some(&at) {
            self.fetch_objects(upstream, &[reference])?;
            self.set_here(reference, &at)?;
        }
        Ok(Some(at))
    }

    /// Moves a reference of the upstream from `from` (`None`: it must not exist) to `to`; `false` where it was there.
    /// Where it is elsewhere, the copy follows it.
    pub(crate) fn publish(
        &self,
        upstream: &Remote,
        reference: &str,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> GitResult<bool> {
        let refused = match self.send(upstream, reference, from, to)? {
            Answer::New | Answer::Forward => return Ok(true),
            Answer::UpToDate => return Ok(false),
            Answer::Stale => None,
            // Also where another push got through in the moment between this one's look and its move.
            Answer::Refused(said) => Some(said),
        };
        let found = self.tip_upstream(upstream, reference)?;
        match refused {
            _ if found.as_ref() == Some(to) => Ok(false),
            Some(said) if found.as_ref() == from => Err(GitError::Upstream {
                address: upstream.address().to_owned(),
                said,
            }),
            Some(_) | None => Err(GitError::Moved {
                reference: reference.to_owned(),
                expected: from.cloned(),
                found,
            }),
        }
    }

    /// Takes every reference of a run away from the upstream, each only where it still is what was read. What is gone
    /// already is fine.
    pub(crate) fn unpublish(&self, upstream: &Remote, run: &RunId) -> GitResult<()> {
        let (integration, others) = (refs::integration(run), refs::all_of(run));
        let found = self.remote_references(upstream, &[&integration, &others])?;
        let away: Vec<Move<'_>> = found
            .iter()
            .map(|(reference, at)| Move {
                reference,
                expected: Some(at),
                to: None,
            })
            .collect();
        away.chunks(AT_ONCE)
            .try_for_each(|some| self.send_all_accepted(upstream, some))
    }

    fn send_all_accepted(&self, upstream: &Remote, moves: &[Move<'_>]) -> GitResult<()> {
        let refused = self
            .send_all(upstream, moves)?
            .into_iter()
            .find_map(|answer| match answer {
                Answer::Refused(said) => Some(said),
                Answer::New | Answer::Forward | Answer::UpToDate | Answer::Stale => None,
            });
        match refused {
            Some(said) => Err(GitError::Upstream {
                address: upstream.address().to_owned(),
                said,
            }),
            None => Ok(()),
        }
    }

    /// Where the copy has a reference.
    pub(crate) fn tip_here(&self, reference: &str) -> GitResult<Option<CommitId>> {
        self.with(|handle| Ok(read_reference(&handle.refs, reference)?.map(commit_id)))
    }

    /// Sets a reference of the copy, wherever it was.
    pub(crate) fn set_here(&self, reference: &str, at: &CommitId) -> GitResult<()> {
        let durable = self.make_durable(at)?;
        let _moving = self.moving()?;
        self.with(|handle| set(&handle.refs, reference, durable.commit()))
    }
}

fn set(repository: &Repository, reference: &str, at: &CommitId) -> GitResult<()> {
    let target = commit_oid(at)?;
    let mut tries = FOLLOW_TRIES;
    loop {
        let now = read_reference(repository, reference)?;
        if now == Some(target) {
            return Ok(());
        }
        tries -= 1;
        match land::compare_and_swap(repository, reference, now.map(commit_id).as_ref(), at) {
            Err(GitError::Moved { .. }) if tries > 0 => {}
            done => return done,
        }
    }
}

impl From<PushError> for GitError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Unreachable { address, said } => Self::Upstream { address, said },
            PushError::Git(error) => error,
            PushError::BadAddress { address, .. } | PushError::BadBranch { branch: address } => Self::Upstream {
                said: "it can't be used as an address or a name".into(),
                address,
            },
        }
    }
}
