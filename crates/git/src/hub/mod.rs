//! The hub: a bare repository of ours in which tasks, merges and the integration branch of a workspace live.

mod compare;
mod create;
mod durable;
pub(crate) mod history;
mod land;
mod listing;
pub(crate) mod lock;
mod push;
pub(crate) mod reference;
mod retention;
mod upstream;
pub(crate) mod worktree;

pub use compare::{ChangedFile, FileEntry, Replacement};
pub use durable::Durable;
pub use history::LogEntry;
pub use land::{LandError, Landed, LandingState};
pub use lock::{LandingLock, StaleLock};
pub use push::{PushRejection, Pushed, check_branch};
pub use retention::Pruned;
pub use worktree::{Worktree, WorktreeError, WorktreeStart};

use self::durable::KnownDurable;
use crate::{
    error::{At, Doing, GitError, GitResult},
    files::PackFiles,
    hub::reference::{compare_and_swap, full_name},
    ids::{Stamp, TreeId, commit_id, commit_oid},
    private::{self, Private},
    refs,
    remote::Remote,
};
use domain::{CommitId, RunId};
use git2::{
    AutotagOption, Config, ErrorCode, FetchOptions, FetchPrune, Oid, RemoteUpdateFlags, Repository,
    RepositoryOpenFlags, Tree,
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How many opened repositories are kept for the next caller. More are opened when more threads ask at once.
const KEPT_HANDLES: usize = 8;

/// The lock that users of a hub share, and that a prune takes for itself, a moment at a time.
pub(crate) const USE_LOCK: &str = "orchestrator-use.lock";

/// A hub. Cheap to share between threads: each call borrows an opened repository from a small pool.
pub struct Hub {
    path: PathBuf,
    handles: Mutex<Vec<Handle>>,
    durable: KnownDurable,
    /// Where the machines that share it have what counts.
    pub(crate) upstream: Option<Remote>,
}

/// One opening of the hub, twice: the two differ in what they flush to disk.
pub(crate) struct Handle {
    /// For references: reads the hub's own configuration alone, which says fsync.
    pub(crate) refs: Repository,
    /// For objects: reads no configuration, so objects are written without fsync. [`crate::Durable`] flushes all
    /// that a reference is about to name, once.
    pub(crate) objects: Repository,
    /// Held shared while the handle is used, so that a prune never takes an object between the look that found it and
    /// what was built on it.
    use_lock: File,
}

impl Hub {
    /// Opens the hub at `hub_path`, making it from the user's repository if it is not there yet, and brings in what
    /// the user's repository has. A hub that a crash left unfinished is made again.
    pub fn open_or_create(hub_path: &Path, user_repository: &Path) -> GitResult<Self> {
        let hub = Self::at(create::ensure(hub_path, Some(user_repository))?);
        hub.refresh(user_repository)?;
        Ok(hub)
    }

    /// Removes the permissions of other accounts from a hub that an older version made.
    pub fn close_to_others(hub_path: &Path) -> GitResult<()> {
        private::close_tree(&create::existing(hub_path)?)
    }

    /// Removes a hub that no run but `run` has anything in. One that is not there is fine.
    pub fn remove_unused(hub_path: &Path, run: RunId) -> GitResult<()> {
        create::remove_unused(hub_path, run)
    }

    /// Opens a hub that was made before.
    pub fn open(hub_path: &Path) -> GitResult<Self> {
        Ok(Self::at(create::existing(hub_path)?))
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            handles: Mutex::default(),
            durable: KnownDurable::default(),
            upstream: None,
        }
    }

    /// Where the hub is, in canonical form. A sandbox mounts it read-only at this very path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings new commits, branches and tags of the user's repository into the hub, under [`refs::WORKSPACE_BRANCHES`].
    /// The user's repository is only read, and none of its hooks or programs run.
    pub fn refresh(&self, user_repository: &Path) -> GitResult<()> {
        let _private = Private::begin();
        let path = self.path.join("orchestrator-refresh.lock");
        let lock = File::create(&path).at("can't make the lock file", &path)?;
        flock(&lock, FlockOperation::LockExclusive).at("can't take the lock", &path)?;
        create::follow_shallow(&self.path, user_repository)?;
        // A handle of its own: one that was opened before may know an older end of a shallow history.
        fetch(self, &open_isolated(&self.path)?, user_repository)?;
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// The commit that a revision names: a branch or tag of the user's repository, `HEAD`, or a commit id, with the usual
    /// suffixes (`main~2`).
    pub fn resolve(&self, revision: &str) -> GitResult<CommitId> {
        let split = revision.find(['~', '^', '@', ':']).unwrap_or(revision.len());
        let (name, suffix) = revision.split_at(split);
        let unknown = || GitError::UnknownRevision {
            revision: revision.to_owned(),
        };
        let mut candidates = vec![
            format!("{}{name}{suffix}", refs::WORKSPACE_BRANCHES),
            format!("{}{name}{suffix}", refs::WORKSPACE_TAGS),
        ];
        if matches!(name, "" | "HEAD") {
            candidates.insert(0, format!("{}{suffix}", refs::WORKSPACE_HEAD));
        }
        if name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) || name.starts_with("refs/") {
            candidates.push(revision.to_owned());
        }
        self.with(|handle| {
            candidates
                .iter()
                .find_map(|candidate| handle.refs.revparse_single(candidate).ok()?.peel_to_commit().ok())
                .map(|commit| commit_id(commit.id()))
                .ok_or_else(unknown)
        })
    }

    /// Where a reference is; `None` if it does not exist. A branch may be named without `refs/heads/`.
    pub fn tip(&self, reference: &str) -> GitResult<Option<CommitId>> {
        let reference = full_name(reference);
        match &self.upstream {
            Some(upstream) => self.tip_upstream(upstream, &reference),
            None => self.tip_here(&reference),
        }
    }

    /// Makes the commit durable, then lets `reference` name it, so that no clean-up can lose it. Repeating it is fine;
    /// a reference that names another commit is [`GitError::Moved`].
    pub fn pin(&self, reference: &str, commit: &CommitId) -> GitResult<()> {
        match &self.upstream {
            Some(upstream) if reference.ends_with(&commit.0) => {
                self.make_durable(commit)?;
                self.publish_commit(upstream, reference, commit)?;
                self.set_here(reference, commit)
            }
            Some(_) | None => self.advance(reference, None, commit),
        }
    }

    /// Makes the branch at a commit. Repeating it is fine; a branch at another commit is [`GitError::Moved`].
    pub fn create_branch(&self, name: &str, at: &CommitId) -> GitResult<()> {
        self.advance(&full_name(name), None, at)
    }

    /// Makes `to` durable and moves the reference from `from` (`None`: it must not exist) to it. A reference that
    /// is at `to` already is fine; anything else is [`GitError::Moved`], and nothing was changed.
    pub fn advance(&self, reference: &str, from: Option<&CommitId>, to: &CommitId) -> GitResult<()> {
        let durable = self.make_durable(to)?;
        if let Some(upstream) = &self.upstream {
            self.publish(upstream, reference, from, to)?;
            return self.set_here(reference, to);
        }
        let _moving = self.moving()?;
        self.with(|handle| compare_and_swap(&handle.refs, reference, from, durable.commit()))
    }

    /// Removes a reference if it is at `at`; one that does not exist is fine.
    pub fn unpin(&self, reference: &str, at: &CommitId) -> GitResult<()> {
        let _moving = self.moving()?;
        self.with(|handle| {
            let doing = || format!("can't remove {reference} from the hub");
            match handle.refs.find_reference(reference) {
                Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
                Err(error) => Err(GitError::git(doing(), error)),
                // libgit2 compares with the value that was read here, under the lock.
                Ok(mut found) if found.target() == Some(commit_oid(at)?) => found.delete().doing(doing),
                Ok(found) => Err(GitError::Moved {
                    reference: reference.to_owned(),
                    expected: Some(at.clone()),
                    found: found.target().map(commit_id),
                }),
            }
        })
    }

    /// The references that match a glob such as [`refs::all_of`], with the commits they name.
    pub fn references(&self, glob: &str) -> GitResult<Vec<(String, CommitId)>> {
        self.with(|handle| {
            let found = handle
                .refs
                .references_glob(glob)
                .doing(|| format!("can't list the references {glob}"))?;
            Ok(found
                .filter_map(Result::ok)
                .filter_map(|reference| Some((reference.name().ok()?.to_owned(), commit_id(reference.target()?))))
                .collect())
        })
    }

    /// Makes a commit from a tree. The same tree, parents and stamp give the same commit. No reference moves.
    pub fn commit_tree(&self, tree: &TreeId, parents: &[CommitId], stamp: &Stamp) -> GitResult<CommitId> {
        self.with(|handle| {
            let tree = find_tree(&handle.objects, tree.oid()?)?;
            write_commit(&handle.objects, &tree, parents, stamp)
        })
    }

    /// Makes a commit without files and without parents: the base of a workspace that has no commit yet.
    pub fn empty_root(&self, stamp: &Stamp) -> GitResult<CommitId> {
        self.with(|handle| {
            let empty = handle
                .objects
                .treebuilder(None)
                .and_then(|builder| builder.write())
                .doing(|| "can't write the empty tree".to_owned())?;
            write_commit(&handle.objects, &find_tree(&handle.objects, empty)?, &[], stamp)
        })
    }

    /// Whether its history ends early, because the user's repository is a shallow clone.
    pub fn is_shallow(&self) -> GitResult<bool> {
        self.with(|handle| Ok(handle.refs.is_shallow()))
    }

    /// The tree of a commit.
    pub fn tree_of(&self, commit: &CommitId) -> GitResult<TreeId> {
        self.with(|handle| Ok(tree_of(&handle.objects, commit_oid(commit)?)?.id().into()))
    }

    pub(crate) fn known_durable(&self) -> &KnownDurable {
        &self.durable
    }

    /// Lends an opened repository to `work`.
    pub(crate) fn with<T, E: From<GitError>>(&self, work: impl FnOnce(&Handle) -> Result<T, E>) -> Result<T, E> {
        let kept = self.handles.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let handle = match kept {
            Some(handle) => handle,
            None => Handle::open(&self.path)?,
        };
        let path = || self.path.join(USE_LOCK);
        flock(&handle.use_lock, FlockOperation::LockShared).at("can't take the lock", &path())?;
        let private = Private::begin();
        let result = work(&handle);
        drop(private);
        flock(&handle.use_lock, FlockOperation::Unlock).at("can't give back the lock", &path())?;
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.len() < KEPT_HANDLES {
            handles.push(handle);
        }
        result
    }
}

impl Handle {
    fn open(path: &Path) -> GitResult<Self> {
        let doing = || format!("can't open the hub {}", path.display());
        let refs = open_isolated(path)?;
        let objects = open(path)?;
        objects.set_config(&Config::new().doing(doing)?).doing(doing)?;
        let lock = path.join(USE_LOCK);
        let _private = Private::begin();
        let use_lock = File::create(&lock).at("can't make the lock file", &lock)?;
        Ok(Self {
            refs,
            objects,
            use_lock,
        })
    }
}

/// Opens the hub with its own configuration alone: what the user's or the system's configuration says about line
/// ends, addresses or filters must not change what we do.
fn open_isolated(path: &Path) -> GitResult<Repository> {
    let doing = || format!("can't open the hub {}", path.display());
    let repository = open(path)?;
    let config = Config::open(&path.join(create::OWN_CONFIG)).doing(doing)?;
    repository.set_config(&config).doing(doing)?;
    Ok(repository)
}

/// Unlike `open_bare`, this respects the end of a shallow history.
fn open(path: &Path) -> GitResult<Repository> {
    let flags = RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
    let no_ceilings: [&Path; 0] = [];
    Repository::open_ext(path, flags, no_ceilings).doing(|| format!("can't open the hub {}", path.display()))
}

fn fetch(own: &Hub, hub: &Repository, user_repository: &Path) -> GitResult<()> {
    let doing = || format!("can't read the commits of {}", user_repository.display());
    let url = user_repository.to_str().ok_or_else(|| {
        GitError::git(
            doing(),
            git2::Error::from_str("the path is not UTF-8: move the repository to a path that is"),
        )
    })?;
    let mut remote = hub.remote_anonymous(url).doing(doing)?;
    let mut options = FetchOptions::new();
    options
        .prune(FetchPrune::Off)
        .download_tags(AutotagOption::None)
        .update_fetchhead(false);
    let refspecs = [
        format!("+refs/heads/*:{}*", refs::WORKSPACE_BRANCHES),
        format!("+refs/tags/*:{}*", refs::WORKSPACE_TAGS),
        format!("+HEAD:{}", refs::WORKSPACE_HEAD),
    ];
    let unborn = Repository::open(user_repository).doing(doing)?.head().is_err();
    let wanted = if unborn { &refspecs[..2] } else { &refspecs[..] };
    // In three steps, so that the objects are on disk before a reference names them.
    let packs = PackFiles::of(hub.commondir())?;
    remote.download(wanted, Some(&mut options)).doing(doing)?;
    packs.flush_new()?;
    let _moving = own.moving()?;
    remote
        .update_tips(None, RemoteUpdateFlags::empty(), AutotagOption::None, None)
        .doing(doing)?;
    remote.prune(None).doing(doing)
}

pub(crate) fn find_tree(repository: &Repository, tree: Oid) -> GitResult<Tree<'_>> {
    repository
        .find_tree(tree)
        .doing(|| format!("can't read the tree {tree}"))
}

pub(crate) fn tree_of(repository: &Repository, commit: Oid) -> GitResult<Tree<'_>> {
    repository
        .find_commit(commit)
        .and_then(|commit| commit.tree())
        .doing(|| format!("can't read the tree of commit {commit}"))
}

pub(crate) fn write_commit(
    repository: &Repository,
    tree: &Tree<'_>,
    parents: &[CommitId],
    stamp: &Stamp,
) -> GitResult<CommitId> {
    let signature = stamp.signature()?;
    let mut found = Vec::with_capacity(parents.len());
    for parent in parents {
        let oid = commit_oid(parent)?;
        found.push(
            repository
                .find_commit(oid)
                .doing(|| format!("can't read the parent commit {parent}"))?,
        );
    }
    let parents: Vec<_> = found.iter().collect();
    repository
        .commit(None, &signature, &signature, &stamp.message, tree, &parents)
        .map(commit_id)
        .doing(|| format!("can't write a commit of tree {}", tree.id()))
}
