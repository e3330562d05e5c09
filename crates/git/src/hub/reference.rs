//! Reading one reference of any repository, and moving it by compare-and-swap.

use crate::{
    error::{GitError, GitResult},
    files::sync_side_by_side,
    ids::{commit_id, commit_oid},
    lock_file::HeldLock,
};
use domain::CommitId;
use git2::{ErrorCode, Oid, Repository};
use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// libgit2 fails at once where a `.lock` exists; a lock that is in use goes within milliseconds.
const LOCK_WAIT_LIMIT: Duration = Duration::from_millis(2_000);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn full_name(reference: &str) -> String {
    match reference.starts_with("refs/") {
        true => reference.to_owned(),
        false => format!("refs/heads/{reference}"),
    }
}

pub(crate) fn read_reference(repository: &Repository, reference: &str) -> GitResult<Option<Oid>> {
    match repository.find_reference(reference) {
        Ok(found) => Ok(found.target()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(GitError::git(format!("can't read {reference}"), error)),
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
                // One that is gone by now is tried again.
                if let Some(lock) = HeldLock::look(&path, started.elapsed()) {
                    return Err(GitError::Locked(lock));
                }
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
