//! Fast-forwarding the user's checkout where nothing of the user's can be lost.

use crate::{
    error::{Doing, GitError, GitResult},
    hub::{
        reference::{compare_and_swap, lock_path},
        tree_of,
    },
    ids::{RepoPath, commit_id, commit_oid},
    lock_file::HeldLock,
    user_repository::{
        own_lock::{IndexLock, USER_LOCK_WAIT_LIMIT, remove_own_reference_lock},
        user_git::{Changed, UserGit},
    },
};
use domain::CommitId;
use git2::{
    AttrCheckFlags, AttrValue, Diff, ErrorCode, FileMode, Index, ObjectType, Oid, Repository, RepositoryState, Status,
    StatusOptions, Tree, build::CheckoutBuilder,
};
use std::path::Path;

/// What became of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FastForward {
    /// The checkout is at the commit.
    Done,
    /// The checkout was left alone.
    Skipped(SkipReason),
}

/// Why a checkout was left alone. The branch is delivered all the same, and `git merge` brings it in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// HEAD is on no branch.
    #[error("HEAD is detached")]
    Detached,
    /// The branch moved since the run started.
    #[error("{branch} is at {}, not at the run's base {}", at.short(), base.short())]
    NotOnBase {
        /// The branch that is checked out.
        branch: String,
        /// Where it is.
        at: CommitId,
        /// Where the run started.
        base: CommitId,
    },
    /// There is work that is not committed.
    #[error("'{path}' has changes that are not committed")]
    Dirty {
        /// One of the paths.
        path: RepoPath,
    },
    /// A merge, rebase or the like is under way.
    #[error("a merge, rebase or the like is under way")]
    Unfinished,
    /// A file goes through a program when it is checked out.
    #[error("'{path}' goes through a filter when it is checked out, and we run none")]
    Filtered {
        /// One of the paths.
        path: RepoPath,
    },
    /// The user's git holds the index or the branch, or a crash of it left the lock.
    #[error("{0}")]
    Locked(HeldLock),
    /// A submodule changes.
    #[error("the submodule '{path}' changes, and we don't fetch it")]
    Submodule {
        /// One of the paths.
        path: RepoPath,
    },
}

/// Moves the branch that is checked out from `base` to `commit`, with index and files, if the checkout is clean.
/// `commit` must have been delivered. No hook and no filter runs. Repeating it is fine, also after a crash in between:
/// files that are already as in `commit` count as clean.
pub fn fast_forward(user_repository: &Path, base: &CommitId, commit: &CommitId) -> GitResult<FastForward> {
    let doing = || format!("can't move {} forward to {}", user_repository.display(), commit.short());
    let repository = Repository::open(user_repository).doing(doing)?;
    IndexLock::clear(&repository)?;
    let place = match standing(&repository, base).doing(doing)? {
        Ok(place) => place,
        Err(reason) => return Ok(FastForward::Skipped(reason)),
    };
    remove_own_reference_lock(&repository, &place.reference, commit_oid(commit)?)?;
    if repository.state() != RepositoryState::Clean {
        return Ok(FastForward::Skipped(SkipReason::Unfinished));
    }
    let at_target = place.at.as_ref() == Some(commit);
    if !at_target && place.at.as_ref().is_some_and(|at| at != base) {
        let (branch, at) = (place.branch, place.at.unwrap_or_else(|| base.clone()));
        return Ok(FastForward::Skipped(SkipReason::NotOnBase {
            branch,
            at,
            base: base.clone(),
        }));
    }
    if at_target {
        return Ok(FastForward::Done);
    }
    let ahead = Ahead {
        before: place.at.is_some().then_some(base),
        after: commit,
    };
    let moved = match UserGit::for_checkout(&repository)? {
        Some(git) => move_by_git(&repository, &git, &place, ahead)?,
        None => move_by_library(&repository, &place, ahead)?,
    };
    Ok(match moved {
        Ok(()) => FastForward::Done,
        Err(reason) => FastForward::Skipped(reason),
    })
}

/// The commits that a checkout is moved between; `before` is `None` where there is none yet.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    before: Option<&'a CommitId>,
    after: &'a CommitId,
}

impl Ahead<'_> {
    fn trees<'r>(&self, repository: &'r Repository) -> GitResult<(Option<Tree<'r>>, Tree<'r>)> {
        let tree = |commit: &CommitId| tree_of(repository, commit_oid(commit)?);
        Ok((self.before.map(tree).transpose()?, tree(self.after)?))
    }
}

fn move_by_library(repository: &Repository, place: &Place, ahead: Ahead<'_>) -> GitResult<Result<(), SkipReason>> {
    let doing = || format!("can't move the checkout to {}", ahead.after.short());
    // Held from the look to the end: the user's own git does not come in between.
    let lock = match IndexLock::take(repository, USER_LOCK_WAIT_LIMIT)? {
        Ok(lock) => lock,
        Err(held) => return Ok(Err(SkipReason::Locked(held))),
    };
    if let Some(held) = branch_lock(repository, place) {
        return Ok(Err(SkipReason::Locked(held)));
    }
    let (before, after) = ahead.trees(repository)?;
    let diff = repository
        .diff_tree_to_tree(before.as_ref(), Some(&after), None)
        .doing(doing)?;
    if let Some(reason) = unsupported(repository, &diff).doing(doing)? {
        return Ok(Err(reason));
    }
    if let Err(reason) = leftovers(repository, &diff, &after, changed(repository).doing(doing)?) {
        return Ok(Err(reason));
    }
    // Everything that differs from the target was found to be as in the base, so nothing of the user's is lost.
    let mut index = Index::open(&lock.begin_index()?).doing(doing)?;
    repository.set_index(&mut index).doing(doing)?;
    let mut checkout = CheckoutBuilder::new();
    checkout.force();
    repository
        .checkout_tree(after.as_object(), Some(&mut checkout))
        .doing(doing)?;
    lock.finish_index()?;
    moved(
        place,
        ahead,
        compare_and_swap(repository, &place.reference, ahead.before, ahead.after),
    )
}

/// git locks the index itself.
fn move_by_git(
    repository: &Repository,
    git: &UserGit,
    place: &Place,
    ahead: Ahead<'_>,
) -> GitResult<Result<(), SkipReason>> {
    let doing = || format!("can't move the checkout to {}", ahead.after.short());
    let index_lock = HeldLock::wait(&repository.path().join("index.lock"), USER_LOCK_WAIT_LIMIT);
    if let Some(held) = index_lock.or_else(|| branch_lock(repository, place)) {
        return Ok(Err(SkipReason::Locked(held)));
    }
    let (before, after) = ahead.trees(repository)?;
    // Attributes of files that are not checked out are read from this instead of an index that can't be.
    let mut index = Index::new().doing(doing)?;
    if let Some(before) = &before {
        index.read_tree(before).doing(doing)?;
    }
    repository.set_index(&mut index).doing(doing)?;
    let diff = repository
        .diff_tree_to_tree(before.as_ref(), Some(&after), None)
        .doing(doing)?;
    if let Some(reason) = unsupported(repository, &diff).doing(doing)? {
        return Ok(Err(reason));
    }
    match leftovers(repository, &diff, &after, git.changed()?) {
        Err(reason) => return Ok(Err(reason)),
        Ok(Leftovers::None) => git.move_files(ahead.before, ahead.after)?,
        Ok(Leftovers::Some) => git.put_files(ahead.after)?,
    }
    moved(
        place,
        ahead,
        git.move_reference(repository, &place.reference, ahead.before, ahead.after),
    )
}

/// The branch moves last, so its lock is looked at before any file is written.
fn branch_lock(repository: &Repository, place: &Place) -> Option<HeldLock> {
    HeldLock::wait(
        &lock_path(repository.commondir(), &place.reference),
        USER_LOCK_WAIT_LIMIT,
    )
}

fn moved(place: &Place, ahead: Ahead<'_>, result: GitResult<()>) -> GitResult<Result<(), SkipReason>> {
    match result {
        Err(GitError::Moved { found: Some(at), .. }) => Ok(Err(SkipReason::NotOnBase {
            branch: place.branch.clone(),
            at,
            base: ahead.before.unwrap_or(ahead.after).clone(),
        })),
        done => done.map(Ok),
    }
}

struct Place {
    reference: String,
    branch: String,
    /// `None`: the branch has no commit, and the run started empty.
    at: Option<CommitId>,
}

fn standing(repository: &Repository, base: &CommitId) -> Result<Result<Place, SkipReason>, git2::Error> {
    let head = repository.find_reference("HEAD")?;
    let Some(reference) = head.symbolic_target().ok().flatten().map(str::to_owned) else {
        return Ok(Err(SkipReason::Detached));
    };
    let branch = reference.trim_start_matches("refs/heads/").to_owned();
    let at = match repository.head() {
        Ok(head) => Some(commit_id(head.peel_to_commit()?.id())),
        Err(error) if error.code() == ErrorCode::UnbornBranch => None,
        Err(error) => return Err(error),
    };
    if at.is_none() {
        // Only a run that started empty continues from no commit.
        let root = Oid::from_str(&base.0).and_then(|oid| repository.find_commit(oid));
        let empty = root.is_ok_and(|root| root.parent_count() == 0 && root.tree().is_ok_and(|tree| tree.is_empty()));
        if !empty {
            return Ok(Err(SkipReason::Dirty {
                path: RepoPath::from("."),
            }));
        }
    }
    Ok(Ok(Place { reference, branch, at }))
}

/// Whether a crash left files that are as in the target already.
enum Leftovers {
    None,
    Some,
}

/// Refuses where a changed path would be lost.
fn leftovers(
    repository: &Repository,
    diff: &Diff<'_>,
    after: &Tree<'_>,
    changed: Vec<Changed>,
) -> Result<Leftovers, SkipReason> {
    let mut found = Leftovers::None;
    for Changed { path, untracked } in changed {
        let concerned = diff
            .deltas()
            .any(|delta| in_the_way(delta.new_file().path_bytes(), path.as_bytes()));
        // An untracked or ignored file that the target does not name stays as it is.
        if untracked && !concerned {
            continue;
        }
        if !is_as_in(repository, after, &path) {
            return Err(SkipReason::Dirty { path });
        }
        found = Leftovers::Some;
    }
    Ok(found)
}

/// Changed, untracked and ignored paths, without writing the index.
fn changed(repository: &Repository) -> Result<Vec<Changed>, git2::Error> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .include_ignored(true)
        .recurse_untracked_dirs(true)
        .update_index(false)
        .exclude_submodules(true);
    let statuses = repository.statuses(Some(&mut options))?;
    let changed = statuses.iter().map(|status| {
        let bytes = status.path_bytes();
        Changed {
            path: RepoPath::new(bytes.strip_suffix(b"/").unwrap_or(bytes)),
            untracked: matches!(status.status(), Status::WT_NEW | Status::IGNORED),
        }
    });
    Ok(changed.collect())
}

/// Whether a path of the target is the untracked path, or needs it to be a directory.
fn in_the_way(target: Option<&[u8]>, untracked: &[u8]) -> bool {
    let below = |path: &[u8], directory: &[u8]| {
        path.strip_prefix(directory)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    target.is_some_and(|target| target == untracked || below(target, untracked) || below(untracked, target))
}

fn unsupported(repository: &Repository, diff: &Diff<'_>) -> Result<Option<SkipReason>, git2::Error> {
    for delta in diff.deltas() {
        for file in [delta.old_file(), delta.new_file()] {
            let Some(bytes) = file.path_bytes() else {
                continue;
            };
            let path = RepoPath::new(bytes);
            if file.mode() == FileMode::Commit {
                return Ok(Some(SkipReason::Submodule { path }));
            }
            let Some(text) = path.as_str() else { continue };
            let filter = repository.get_attr(Path::new(text), "filter", AttrCheckFlags::FILE_THEN_INDEX)?;
            if let AttrValue::String(_) = AttrValue::from_string(filter) {
                return Ok(Some(SkipReason::Filtered { path }));
            }
        }
    }
    Ok(None)
}

/// Whether the file on disk is what the target has there: absent in both, or the same bytes.
fn is_as_in(repository: &Repository, target: &Tree<'_>, path: &RepoPath) -> bool {
    let (Some(root), Some(text)) = (repository.workdir(), path.as_str()) else {
        return false;
    };
    let wanted = target.get_path(Path::new(text)).ok();
    let on_disk = root.join(text);
    match (std::fs::symlink_metadata(&on_disk), wanted) {
        (Err(_), None) => true,
        (Ok(metadata), Some(entry)) if metadata.is_file() => {
            Oid::hash_file(ObjectType::Blob, &on_disk).is_ok_and(|oid| oid == entry.id())
        }
        _ => false,
    }
}
