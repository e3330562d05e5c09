//! Git processes in the user's repository, for what libgit2 can't do there: an index that it can't read, a sparse
//! checkout, and files that must belong to another account.
//!
//! They read the user's configuration, and run nothing that it names: no hook, no filter, no file system monitor.

use crate::{
    error::{Doing, GitError, GitResult},
    hub::reference::{lock_path, read_reference},
    ids::{RepoPath, commit_id, commit_oid},
    lock_file::HeldLock,
    private::as_the_user,
    process::{self, Output, isolated},
    user_repository::account::Account,
};
use domain::CommitId;
use git2::{Index, Repository};
use std::{
    ffi::OsString,
    fs::File,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// A checkout of a large repository takes minutes.
const TIME_LIMIT: Duration = Duration::from_secs(600);
/// Settings for every process: nothing of the user's runs, and what is written is flushed.
const SETTINGS: [(&str, &str); 8] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.fsync", "committed,reference,index"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
];
/// What a filter may be set to so that it does nothing.
const NO_FILTER: [(&str, &str); 4] = [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")];

/// A path that differs from the commit of HEAD.
pub(super) struct Changed {
    pub(super) path: RepoPath,
    /// It is unknown to the index.
    pub(super) untracked: bool,
}

/// Git processes in one repository.
pub(super) struct UserGit {
    directory: PathBuf,
    git_directory: PathBuf,
    account: Option<Account>,
    filters: Vec<String>,
}

impl UserGit {
    /// Where a checkout has to be moved by git itself.
    pub(super) fn for_checkout(repository: &Repository) -> GitResult<Option<Self>> {
        let account = Account::to_write_as(repository.commondir());
        match account.is_some() || is_shared(repository) || needs_git(repository) {
            true => Self::new(repository, account).map(Some),
            false => Ok(None),
        }
    }

    /// Where objects and references have to be written by git itself.
    pub(super) fn for_delivery(repository: &Repository) -> GitResult<Option<Self>> {
        let account = Account::to_write_as(repository.commondir());
        match account.is_some() || is_shared(repository) {
            true => Self::new(repository, account).map(Some),
            false => Ok(None),
        }
    }

    fn new(repository: &Repository, account: Option<Account>) -> GitResult<Self> {
        Ok(Self {
            directory: repository.workdir().unwrap_or(repository.path()).to_owned(),
            git_directory: repository.path().to_owned(),
            account,
            filters: filters(repository)?,
        })
    }

    /// Changed, untracked and ignored paths. Nothing is written.
    pub(super) fn changed(&self) -> GitResult<Vec<Changed>> {
        let output = self.run(
            &[
                "status",
                "--porcelain=v1",
                "-z",
                "--no-renames",
                "--untracked-files=all",
                "--ignored=traditional",
                "--ignore-submodules=all",
            ],
            None,
        )?;
        Ok(output
            .stdout
            .split(|byte| *byte == 0)
            .filter_map(|entry| {
                let (state, path) = entry.split_at_checked(3)?;
                Some(Changed {
                    path: RepoPath::new(path.strip_suffix(b"/").unwrap_or(path)),
                    untracked: matches!(state, b"?? " | b"!! "),
                })
            })
            .collect())
    }

    /// Moves index and files from one commit (`None`: there is none yet) to another; git itself refuses where that
    /// would lose a change.
    pub(super) fn move_files(&self, from: Option<&CommitId>, to: &CommitId) -> GitResult<()> {
        // Files that only look changed, such as those of a copied repository, would stand in the way.
        self.run(&["update-index", "-q", "--refresh"], None)?;
        let mut arguments = vec!["read-tree", "-m", "-u"];
        arguments.extend(from.map(|from| from.0.as_str()));
        arguments.push(&to.0);
        self.run(&arguments, None).map(drop)
    }

    /// Puts index and files to a commit, whatever they are.
    pub(super) fn put_files(&self, to: &CommitId) -> GitResult<()> {
        self.run(&["read-tree", "--reset", "-u", &to.0], None).map(drop)
    }

    /// Takes in a pack.
    pub(super) fn take_pack(&self, pack: File) -> GitResult<()> {
        self.run(&["index-pack", "--stdin"], Some(pack)).map(drop)
    }

    /// Moves a reference from `from` (`None`: it must not exist) to `to`; one that is at `to` already is fine.
    pub(super) fn move_reference(
        &self,
        repository: &Repository,
        reference: &str,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> GitResult<()> {
        let none = "0".repeat(to.0.len());
        let before = from.map_or(none.as_str(), |from| from.0.as_str());
        let Err(error) = self.run(&["update-ref", "-m", "orchestrator", reference, &to.0, before], None) else {
            return Ok(());
        };
        // What it is now says why, without git's words.
        let found = read_reference(repository, reference)?;
        if found == Some(commit_oid(to)?) {
            return Ok(());
        }
        let found = found.map(commit_id);
        if found.as_ref() != from {
            return Err(GitError::Moved {
                reference: reference.to_owned(),
                expected: from.cloned(),
                found,
            });
        }
        match HeldLock::look(&lock_path(repository.commondir(), reference), Duration::ZERO) {
            Some(lock) => Err(GitError::Locked(lock)),
            None => Err(error),
        }
    }

    fn run(&self, arguments: &[&str], input: Option<File>) -> GitResult<Output> {
        let name = format!("git {}", arguments.first().copied().unwrap_or_default());
        let mut command = self.command();
        command.args(arguments);
        if let Some(input) = input {
            command.stdin(Stdio::from(input));
        }
        let output = as_the_user(|| process::run(command, &name, TIME_LIMIT))?;
        match output.status {
            Some(0) => Ok(output),
            _ => Err(GitError::Program {
                command: name,
                said: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            }),
        }
    }

    fn command(&self) -> Command {
        let mut command = isolated("git");
        command
            .current_dir(&self.directory)
            .env("GIT_DIR", &self.git_directory)
            .env("GIT_WORK_TREE", &self.directory)
            .env("GIT_OPTIONAL_LOCKS", "0");
        match &self.account {
            Some(account) => {
                command.uid(account.user).gid(account.group);
            }
            // The user's own settings: line ends, files to ignore.
            None => {
                command
                    .env_remove("GIT_CONFIG_NOSYSTEM")
                    .env_remove("GIT_CONFIG_GLOBAL");
                for name in ["HOME", "XDG_CONFIG_HOME", "SUDO_UID"] {
                    command.envs(std::env::var_os(name).map(|value| (name, value)));
                }
            }
        }
        let off = |filter: &String| NO_FILTER.map(|(key, value)| (format!("filter.{filter}.{key}"), value));
        let settings = SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), *value));
        let settings: Vec<_> = settings.chain(self.filters.iter().flat_map(off)).collect();
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), OsString::from(value));
        }
        command
    }
}

/// Whether files get the permissions of `core.sharedRepository`, which libgit2 doesn't give them.
fn is_shared(repository: &Repository) -> bool {
    let value = repository
        .config()
        .and_then(|config| config.get_string("core.sharedRepository"));
    value.is_ok_and(|value| {
        !matches!(
            value.to_ascii_lowercase().as_str(),
            "false" | "no" | "off" | "0" | "umask"
        )
    })
}

/// Whether only git itself reads the index, or knows which files are to be there: a split or a sparse index, one
/// without a checksum, a sparse checkout.
pub(super) fn needs_git(repository: &Repository) -> bool {
    let is_sparse = repository
        .config()
        .and_then(|config| config.get_bool("core.sparseCheckout"));
    is_sparse.unwrap_or(false) || Index::open(&repository.path().join("index")).is_err()
}

/// Whether a checkout has changed or untracked files, by git's own word.
pub(super) fn is_dirty(repository: &Repository) -> GitResult<bool> {
    let git = UserGit::new(repository, None)?;
    let changed = git.run(&["status", "--porcelain=v1", "-z", "--ignore-submodules=all"], None)?;
    Ok(!changed.stdout.is_empty())
}

/// The filters that the configuration names.
fn filters(repository: &Repository) -> GitResult<Vec<String>> {
    let doing = || format!("can't read the configuration of {}", repository.path().display());
    let config = repository.config().doing(doing)?;
    let mut found = Vec::new();
    let entries = config.entries(Some("^filter\\.")).doing(doing)?;
    entries
        .for_each(|entry| {
            let name = entry.name().unwrap_or_default();
            let name = name.strip_prefix("filter.").and_then(|name| name.rsplit_once('.'));
            found.extend(name.map(|(name, _)| name.to_owned()));
        })
        .doing(doing)?;
    found.sort();
    found.dedup();
    Ok(found)
}
