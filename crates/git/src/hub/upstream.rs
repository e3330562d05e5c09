//! A hub on several machines. Each machine has a copy of its own; the repository that all reach, the *upstream*, says
//! where references are. They move there first, by a push with a lease, which is the compare-and-swap of landing; a
//! copy follows. Objects come with the references that name them, so a copy holds all of what its references reach.

use crate::{
    error::{GitError, GitResult},
    hub::{
        Hub, create, lock,
        reference::{compare_and_swap, read_reference},
    },
    ids::{commit_id, commit_oid},
    refs,
    remote::{
        Remote,
        transport::{Answer, Move},
    },
};
use domain::{CommitId, RunId};
use git2::Repository;
use std::path::Path;

/// How many references one push moves.
const AT_ONCE: usize = 100;
/// How often setting a reference of the copy is retried while others set it, too.
const FOLLOW_TRIES: usize = 5;
/// How many names are tried for a commit.
const NAME_TRIES: usize = 4;

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

    /// Makes the upstream, where it is a path of this machine and nothing is there. Elsewhere its administrator makes
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
        let found = upstream.references(self.path(), patterns)?;
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
        upstream.fetch(self.path(), &names)?;
        news.into_iter().try_for_each(|(name, at)| self.set_here(name, at))
    }

    /// As [`Self::follow`], for a reference that never moves because its name holds its commit: asks nobody where it is
    /// here already.
    pub fn follow_fixed(&self, reference: &str) -> GitResult<()> {
        match self.tip_here(reference)? {
            Some(_) => Ok(()),
            None => self.follow(&[reference, &format!("{reference}.*")]),
        }
    }

    /// Puts commits where the other machines find them, each under a name that holds it. Without an upstream this
    /// does nothing.
    pub fn offer(&self, commits: &[(String, CommitId)]) -> GitResult<()> {
        let Some(upstream) = &self.upstream else {
            return Ok(());
        };
        for some in commits.chunks(AT_ONCE) {
            let new: Vec<Move<'_>> = some.iter().map(|(name, commit)| Move::new_at(name, commit)).collect();
            for ((name, commit), answer) in some.iter().zip(self.push_to(upstream, &new)?) {
                match answer {
                    Answer::New | Answer::Forward | Answer::UpToDate | Answer::Stale => {}
                    Answer::Locked(_) => self.publish_commit(upstream, name, commit)?,
                    Answer::Refused(said) => return Err(refused(upstream, said)),
                }
            }
        }
        commits.iter().try_for_each(|(name, at)| self.set_here(name, at))
    }

    /// Puts a commit into the upstream under a name that holds it. Such a name is only there to keep the commit and to be
    /// found by its beginning, so where a lock file is in the way of one name, another does.
    pub(crate) fn publish_commit(&self, upstream: &Remote, reference: &str, commit: &CommitId) -> GitResult<()> {
        let mut name = reference.to_owned();
        for another in 1.. {
            match self.publish(upstream, &name, None, commit) {
                Err(GitError::UpstreamLocked { .. }) if another < NAME_TRIES => name = format!("{reference}.{another}"),
                done => return done.map(drop),
            }
        }
        Ok(())
    }

    /// Puts the newest snapshot of an attempt into the upstream, instead of the one before it. Machines that work on one
    /// attempt, of which all but one are too late, are not in each other's way.
    pub(crate) fn publish_snapshot(
        &self,
        upstream: &Remote,
        chain: &str,
        previous: Option<&CommitId>,
        commit: &CommitId,
    ) -> GitResult<()> {
        let name = format!("{chain}-{commit}");
        let before = previous.map(|previous| (format!("{chain}-{previous}"), previous));
        let mut moves = vec![Move::new_at(&name, commit)];
        // It is held by the new one. Where its name stays, it goes with the run.
        moves.extend(before.as_ref().map(|(name, at)| Move::away(name, at)));
        match self.push_to(upstream, &moves)?.into_iter().next() {
            Some(Answer::Locked(_)) => self.publish_commit(upstream, &name, commit),
            Some(Answer::Refused(said)) => Err(refused(upstream, said)),
            Some(Answer::New | Answer::Forward | Answer::UpToDate | Answer::Stale) | None => Ok(()),
        }
    }

    /// Where the upstream has a reference. The copy follows.
    pub(crate) fn tip_upstream(&self, upstream: &Remote, reference: &str) -> GitResult<Option<CommitId>> {
        let found = upstream.references(self.path(), &[reference])?;
        let Some((_, at)) = found.into_iter().next() else {
            return Ok(None);
        };
        if self.tip_here(reference)?.as_ref() != Some(&at) {
            upstream.fetch(self.path(), &[reference])?;
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
        let step = Move {
            reference,
            expected: from,
            to: Some(to),
        };
        let said = match self.push_to(upstream, &[step])?.into_iter().next() {
            Some(Answer::New | Answer::Forward) => return Ok(true),
            Some(Answer::UpToDate) => return Ok(false),
            // Also where another push got through in the moment between this one's look and its move.
            Some(Answer::Locked(said)) => Some(locked(upstream, said)),
            Some(Answer::Refused(said)) => Some(refused(upstream, said)),
            Some(Answer::Stale) | None => None,
        };
        let found = self.tip_upstream(upstream, reference)?;
        match said {
            _ if found.as_ref() == Some(to) => Ok(false),
            Some(error) if found.as_ref() == from => Err(error),
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
        let found = upstream.references(self.path(), &[&integration, &others])?;
        let away: Vec<Move<'_>> = found.iter().map(|(name, at)| Move::away(name, at)).collect();
        for some in away.chunks(AT_ONCE) {
            for answer in self.push_to(upstream, some)? {
                match answer {
                    Answer::New | Answer::Forward | Answer::UpToDate | Answer::Stale => {}
                    Answer::Locked(said) => return Err(locked(upstream, said)),
                    Answer::Refused(said) => return Err(refused(upstream, said)),
                }
            }
        }
        Ok(())
    }

    /// Moves references of the upstream, each by itself. A lock file that a crashed push left in the way is
    /// removed.
    fn push_to(&self, upstream: &Remote, moves: &[Move<'_>]) -> GitResult<Vec<Answer>> {
        let push = || upstream.send_all(self.path(), moves, lock::pushing_to(upstream)?);
        let answers = push()?;
        let is_locked = answers.iter().any(|answer| matches!(answer, Answer::Locked(_)));
        // What was moved a moment ago is where it was to go.
        match is_locked && lock::remove_dead_pushes(upstream)? {
            true => Ok(push()?),
            false => Ok(answers),
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

fn refused(upstream: &Remote, said: String) -> GitError {
    GitError::Upstream {
        address: upstream.address().to_owned(),
        said,
    }
}

fn locked(upstream: &Remote, said: String) -> GitError {
    GitError::UpstreamLocked {
        address: upstream.address().to_owned(),
        said,
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
        match compare_and_swap(repository, reference, now.map(commit_id).as_ref(), at) {
            Err(GitError::Moved { .. }) if tries > 0 => {}
            done => return done,
        }
    }
}
