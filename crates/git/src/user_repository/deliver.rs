//! Bringing a run's result into the user's repository, as one branch.

use crate::{
    error::{At, Doing, GitError, GitResult, shown},
    files::PackFiles,
    hub::{
        Hub,
        history::is_ancestor,
        reference::{compare_and_swap, read_reference},
    },
    ids::{commit_id, commit_oid},
    lock_file::HeldLock,
    private::as_the_user,
    user_repository::{
        own_lock::{remove_dead_packs, remove_own_reference_lock},
        user_git::UserGit,
    },
};
use domain::CommitId;
use git2::{Oid, PackBuilder, Repository};
use serde::{Deserialize, Serialize};
use std::{
    io::{Seek, Write},
    path::{Path, PathBuf},
};

/// What a delivery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// The branch is new.
    Created,
    /// The branch went forward.
    Updated,
    /// The branch was there already.
    Already,
}

/// Why nothing was delivered. The user's repository is as it was, but for objects that nothing names.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The branch has other work.
    #[error(
        "branch {branch} of {} is at {}, which holds commits that this run did not make: it was left alone. Rename it \
         (`git branch -m {branch} {branch}-kept`), then deliver again",
        path.display(), shown(.found)
    )]
    Moved {
        /// The user's repository.
        path: PathBuf,
        /// The branch.
        branch: String,
        /// Where it is.
        found: Option<CommitId>,
    },
    /// The branch is checked out.
    #[error("branch {branch} is checked out in {}: moving it would put the files there out of step. Switch to another branch, then deliver again", checkout.display())]
    CheckedOut {
        /// The branch.
        branch: String,
        /// The checkout.
        checkout: PathBuf,
    },
    /// A branch has the name that ours needs as a directory.
    #[error(
        "a branch named '{existing}' stands in the way of '{branch}': rename it \
         (`git branch -m {existing} {existing}-kept`), then deliver again"
    )]
    NameTaken {
        /// The branch that was to be made.
        branch: String,
        /// The branch in the way.
        existing: String,
    },
    /// A crash of the user's git left a lock on the branch: waiting won't help.
    #[error("{0}, then deliver again")]
    Locked(HeldLock),
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Puts `commit` into the user's repository as `branch`. Working tree, index, HEAD, hooks and configuration there are
/// not touched. Repeating it is fine.
pub fn deliver_branch(
    user_repository: &Path,
    hub: &Hub,
    commit: &CommitId,
    branch: &str,
) -> Result<Delivered, DeliverError> {
    let doing = || format!("can't open the repository {}", user_repository.display());
    let user = Repository::open(user_repository).doing(doing)?;
    let reference = format!("refs/heads/{branch}");
    let target = commit_oid(commit)?;
    remove_own_reference_lock(&user, &reference, target)?;
    remove_dead_packs(&user)?;
    let before = read_reference(&user, &reference)?;
    if before == Some(target) {
        return Ok(Delivered::Already);
    }
    let moved = |found: Option<Oid>| DeliverError::Moved {
        path: user_repository.to_owned(),
        branch: branch.to_owned(),
        found: found.map(commit_id),
    };
    if let Some(before) = before {
        let ours = hub.with(|handle| Ok::<_, GitError>(handle.objects.find_commit(before).is_ok()))?;
        if !ours || !hub.with(|handle| is_ancestor(&handle.objects, before, target))? {
            return Err(moved(Some(before)));
        }
        if let Some(checkout) = checkout_of(&user, &reference) {
            return Err(DeliverError::CheckedOut {
                branch: branch.to_owned(),
                checkout,
            });
        }
    }
    for (slash, _) in branch.match_indices('/') {
        let existing = &branch[..slash];
        if read_reference(&user, &format!("refs/heads/{existing}"))?.is_some() {
            let (branch, existing) = (branch.to_owned(), existing.to_owned());
            return Err(DeliverError::NameTaken { branch, existing });
        }
    }
    let git = UserGit::for_delivery(&user)?;
    copy_objects(hub, &user, target, git.as_ref())?;
    let from = before.map(commit_id);
    let swapped = match &git {
        Some(git) => git.move_reference(&user, &reference, from.as_ref(), commit),
        None => compare_and_swap(&user, &reference, from.as_ref(), commit),
    };
    match swapped {
        Ok(()) if before.is_none() => Ok(Delivered::Created),
        Ok(()) => Ok(Delivered::Updated),
        Err(GitError::Moved { found, .. }) => Err(moved(found.map(|found| commit_oid(&found)).transpose()?)),
        Err(GitError::Locked(held)) if held.is_stale() => Err(DeliverError::Locked(held)),
        Err(error) => Err(error.into()),
    }
}

/// The checkout in which a branch stands: the main one, or a linked worktree.
fn checkout_of(user: &Repository, reference: &str) -> Option<PathBuf> {
    let stands_on = |repository: &Repository| {
        let head = repository.find_reference("HEAD").ok()?;
        (head.symbolic_target().ok().flatten() == Some(reference)).then(|| repository.workdir().map(Path::to_owned))?
    };
    if let Some(checkout) = stands_on(user) {
        return Some(checkout);
    }
    let names = user.worktrees().ok()?;
    names.iter().filter_map(|name| name.ok().flatten()).find_map(|name| {
        let worktree = user.find_worktree(name).ok()?;
        stands_on(&Repository::open_from_worktree(&worktree).ok()?)
    })
}

/// Writes one pack with what the user's repository lacks, and flushes it.
fn copy_objects(hub: &Hub, user: &Repository, target: Oid, git: Option<&UserGit>) -> GitResult<()> {
    let doing = || format!("can't copy the commits up to {target} into {}", user.path().display());
    if user.find_commit(target).is_ok() {
        return Ok(());
    }
    let packs = PackFiles::of(user.commondir())?;
    hub.with(|handle| {
        let mut pack = missing_objects(&handle.objects, user, target).doing(doing)?;
        if let Some(git) = git {
            let mut file = tempfile::tempfile_in(hub.path()).at("can't make a file in", hub.path())?;
            write_pack(&mut pack, &mut file, hub.path())?;
            file.rewind().at("can't read a pack in", hub.path())?;
            return git.take_pack(file);
        }
        as_the_user(|| {
            let odb = user.odb().doing(doing)?;
            let mut writer = odb.packwriter().doing(doing)?;
            write_pack(&mut pack, &mut writer, user.path())?;
            writer.commit().map(drop).doing(doing)
        })
    })?;
    packs.flush_new()
}

/// The objects up to a commit that the user's repository has not.
fn missing_objects<'hub>(
    hub: &'hub Repository,
    user: &Repository,
    target: Oid,
) -> Result<PackBuilder<'hub>, git2::Error> {
    let mut walk = hub.revwalk()?;
    walk.push(target)?;
    for reference in user.references()? {
        // What the user committed since the hub was refreshed is unknown here and hides nothing.
        let known = reference?.peel_to_commit().ok().map(|commit| commit.id());
        if let Some(known) = known.filter(|oid| hub.find_commit(*oid).is_ok()) {
            walk.hide(known)?;
        }
    }
    let mut pack = hub.packbuilder()?;
    pack.insert_walk(&mut walk)?;
    Ok(pack)
}

fn write_pack(pack: &mut PackBuilder<'_>, into: &mut impl Write, place: &Path) -> GitResult<()> {
    let mut failed = None;
    let written = pack.foreach(|bytes| {
        failed = into.write_all(bytes).err();
        failed.is_none()
    });
    match failed {
        Some(source) => Err(GitError::io("can't write a pack into", place, source)),
        None => written.doing(|| format!("can't write a pack into {}", place.display())),
    }
}
