//! Linked worktrees of the hub: where tasks are worked on and where gates run.

use crate::{
    error::{At, Doing, GitError, GitResult},
    files::remove_directory,
    hub::{Hub, find_tree, tree_of},
    ids::{TreeId, commit_oid},
    private::{self, Private},
    tree::withheld::without_withheld,
};
use domain::CommitId;
use git2::{Config, ObjectType, Oid, Repository, Tree, build::CheckoutBuilder};
use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Written into the registration when the files are complete. Before that nobody has worked there.
const READY: &str = "orchestrator-ready";
/// What the hub does not know the place of is being made, or a crash left it: making one takes less time.
const MAKING_LIMIT: Duration = Duration::from_secs(600);

/// A checkout of its own, linked to the hub, on no branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// Where it is, in canonical form.
    pub path: PathBuf,
    /// What its HEAD names.
    pub head: CommitId,
}

/// What a worktree holds at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorktreeStart {
    /// The files of a commit.
    At(CommitId),
    /// The files of a tree as uncommitted changes on top of a commit: a rejected task goes on from the tip with its
    /// work applied.
    Carrying {
        /// What HEAD names.
        head: CommitId,
        /// What the files are.
        tree: TreeId,
    },
}

/// Why a worktree was not made.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// Something that is no worktree of this hub is there.
    #[error("{} is there already, and is not a worktree of this hub: it was left alone; choose another place", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// A worktree of another commit is there.
    #[error("{} holds a worktree of {}, not of {}: it was left alone; remove it first", path.display(), at.short(), asked.short())]
    Taken {
        /// The place.
        path: PathBuf,
        /// What it is of.
        at: CommitId,
        /// What was asked for.
        asked: CommitId,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl WorktreeStart {
    fn head(&self) -> &CommitId {
        match self {
            Self::At(head) | Self::Carrying { head, .. } => head,
        }
    }
}

impl Hub {
    /// Makes a worktree at `path`, which must not exist. No hook and no filter runs: files are the bytes of their
    /// blobs. One that was made before for the same commit is returned as it is, with the work in it; one that was
    /// unfinished after a crash is made again.
    pub fn add_worktree(&self, path: &Path, start: &WorktreeStart) -> Result<Worktree, WorktreeError> {
        let path = canonical_place(path)?;
        let worktree = Worktree {
            path: path.clone(),
            head: start.head().clone(),
        };
        let registration = self.registration(&path);
        match fs::read_to_string(registration.join(READY)) {
            Ok(at) if path.join(".git").is_file() => {
                let at = CommitId(at.trim().to_owned());
                return match at == worktree.head {
                    true => Ok(worktree),
                    false => Err(WorktreeError::Taken {
                        path,
                        at,
                        asked: worktree.head,
                    }),
                };
            }
            _ if registration.exists() => self.remove_worktree(&path)?,
            _ => {}
        }
        if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) || path.is_file() {
            return Err(WorktreeError::Occupied { path });
        }
        register(&registration, &path, &worktree.head)?;
        self.check_out(&path, start)?;
        let ready = registration.join(READY);
        let _private = Private::begin();
        fs::write(&ready, &worktree.head.0).at("can't write", &ready)?;
        Ok(worktree)
    }

    /// Removes a worktree with all that is in it. One that does not exist is fine. What is not in a snapshot is lost.
    pub fn remove_worktree(&self, path: &Path) -> GitResult<()> {
        let path = canonical_place(path)?;
        let registration = self.registration(&path);
        // The mark goes first: a removal that is cut short must not look like a finished worktree.
        remove_if_there(&registration.join(READY))?;
        remove_directory(&path)?;
        remove_directory(&registration)
    }

    /// The places of all worktrees of this hub, for clean-up.
    pub fn worktrees(&self) -> GitResult<Vec<PathBuf>> {
        let registrations = self.path().join("worktrees");
        let entries = match fs::read_dir(&registrations) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(GitError::io("can't list the worktrees in", &registrations, error));
            }
        };
        let gitlinks = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("gitdir")).ok());
        Ok(gitlinks
            .filter_map(|link| Some(Path::new(link.trim_end()).parent()?.to_owned()))
            .collect())
    }

    /// Removes what the hub knows of worktrees in a directory that are not there: they were half made, or half removed,
    /// when a process died. Only for who knows that nobody is making one in that directory: those of other directories may be
    /// another process's, and stay.
    pub fn forget_missing_worktrees(&self, directory: &Path) -> GitResult<()> {
        let directory = directory.canonicalize().at("can't find", directory)?;
        let own = format!("-{}-", digest(&directory, 8));
        let registrations = self.path().join("worktrees");
        let entries = match fs::read_dir(&registrations) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("can't list the worktrees in", &registrations),
        };
        for registration in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let gitlink = fs::read_to_string(registration.join("gitdir")).unwrap_or_default();
            let is_abandoned = match Path::new(gitlink.trim_end()).parent() {
                Some(place) => place.parent() == Some(&directory) && fs::symlink_metadata(place).is_err(),
                // Not begun to be written: its name tells the directory it was for.
                None => named(&registration).contains(&own) || age(&registration) > MAKING_LIMIT,
            };
            if is_abandoned {
                remove_directory(&registration)?;
            }
        }
        Ok(())
    }

    /// Where the hub keeps what it knows of the worktree at `path`: out of reach of who works there.
    pub(crate) fn registration(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let readable: String = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(40)
            .collect();
        let directory = digest(path.parent().unwrap_or(path), 8);
        self.path()
            .join("worktrees")
            .join(format!("{readable}-{directory}-{}", digest(path, 16)))
    }

    fn check_out(&self, path: &Path, start: &WorktreeStart) -> GitResult<()> {
        let doing = || format!("can't check out {} into {}", start.head().short(), path.display());
        let repository = Repository::open(path).doing(doing)?;
        // Without the word to flush that our own configuration has: what a crash loses of a worktree is made again.
        let shared = Config::open(&self.path().join("config")).doing(doing)?;
        repository.set_config(&shared).doing(doing)?;
        write_files(
            &repository,
            &tree_of(&repository, commit_oid(start.head())?)?,
            UpdateIndex::Yes,
        )
        .doing(doing)?;
        match start {
            WorktreeStart::At(_) => Ok(()),
            WorktreeStart::Carrying { tree, .. } => {
                let tree = find_tree(&repository, tree.oid()?)?;
                write_files(&repository, &tree, UpdateIndex::No).doing(doing)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum UpdateIndex {
    Yes,
    No,
}

fn write_files(repository: &Repository, tree: &Tree<'_>, update_index: UpdateIndex) -> Result<(), git2::Error> {
    let mut checkout = CheckoutBuilder::new();
    checkout
        .force()
        .disable_filters(true)
        .update_index(update_index == UpdateIndex::Yes);
    let reduced = without_withheld(repository, tree, 0)?;
    let reduced = reduced.map(|oid| repository.find_tree(oid)).transpose()?;
    repository.checkout_tree(reduced.as_ref().unwrap_or(tree).as_object(), Some(&mut checkout))
}

/// The canonical form of a place that need not exist. Its parent is made.
pub(crate) fn canonical_place(path: &Path) -> GitResult<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        GitError::io(
            "can't make a worktree at",
            path,
            io::Error::other("the path must end with a name"),
        )
    })?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).at("can't make the directory", parent)?;
    Ok(parent.canonicalize().at("can't find", parent)?.join(name))
}

/// What `git worktree add --detach` writes, without running it.
fn register(registration: &Path, path: &Path, head: &CommitId) -> GitResult<()> {
    // What belongs to it in the hub is for our own account, and its files are as a checkout makes them.
    fs::create_dir_all(path).at("can't make the directory", path)?;
    private::create_directory(registration)?;
    let gitlink = path.join(".git");
    for (file, content) in [
        // First, so that the owner is known.
        (
            registration.join("gitdir"),
            [gitlink.as_os_str().as_bytes(), b"\n"].concat(),
        ),
        (registration.join("HEAD"), format!("{head}\n").into_bytes()),
        (registration.join("commondir"), b"../..\n".to_vec()),
        (
            gitlink.clone(),
            [b"gitdir: ", registration.as_os_str().as_bytes(), b"\n"].concat(),
        ),
    ] {
        fs::write(&file, content).at("can't write", &file)?;
    }
    Ok(())
}

/// The time since a directory was changed; zero where that is unknown.
fn age(directory: &Path) -> Duration {
    let modified = fs::metadata(directory).and_then(|metadata| metadata.modified());
    modified
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .unwrap_or_default()
}

fn remove_if_there(file: &Path) -> GitResult<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::io("can't remove", file, error)),
        _ => Ok(()),
    }
}

/// The first `length` characters of a path's hash.
fn digest(path: &Path, length: usize) -> String {
    let hash = Oid::hash_object(ObjectType::Blob, path.as_os_str().as_bytes());
    let hash = hash.map(|oid| oid.to_string()).unwrap_or_default();
    hash.chars().take(length).collect()
}

fn named(registration: &Path) -> String {
    registration
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
