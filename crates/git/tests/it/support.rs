//! Repositories to test on.

use domain::{CommitId, RunId, TaskKey};
use git::{Hub, Identity, Stamp, TreeId, WorktreeStart};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A repository of a user, worked on with the git program.
pub(crate) struct UserRepository {
    pub(crate) path: PathBuf,
}

/// A user's repository and the hub made from it.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) user: UserRepository,
    pub(crate) hub: Hub,
    pub(crate) base: CommitId,
}

impl Fixture {
    /// A repository with some files, and its hub.
    pub(crate) fn new() -> Self {
        Self::with(|user| {
            user.write("README.md", "hello\n");
            user.write("src/one.txt", numbered(30));
            user.write("src/two.txt", numbered(10));
        })
    }

    pub(crate) fn with(fill: impl FnOnce(&UserRepository)) -> Self {
        Self::within(tempfile::tempdir().unwrap(), fill)
    }

    /// In memory, where there is such a place: for very many files.
    pub(crate) fn in_memory() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::within(directory.unwrap(), |user| user.write("README.md", "hello\n"))
    }

    fn within(directory: TempDir, fill: impl FnOnce(&UserRepository)) -> Self {
        let user = UserRepository::init(&directory.path().join("user"));
        fill(&user);
        let base = user.commit("base");
        let hub = Hub::open_or_create(&directory.path().join("data/hub"), &user.path).unwrap();
        Self {
            directory,
            user,
            hub,
            base,
        }
    }

    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.directory
            .path()
            .canonicalize()
            .unwrap()
            .join("data/worktrees")
            .join(name)
    }

    /// Commits on top of `from` in the user's repository, without leaving a branch, and brings it into the hub.
    pub(crate) fn commit_on(&self, from: &CommitId, change: impl FnOnce(&UserRepository)) -> CommitId {
        self.user.git(&["checkout", "-q", "--detach", &from.0]);
        change(&self.user);
        let commit = self.user.commit("change");
        self.user.git(&["branch", "-f", &format!("side-{commit}"), &commit.0]);
        self.user.git(&["checkout", "-q", "main"]);
        self.hub.refresh(&self.user.path).unwrap();
        commit
    }
}

impl UserRepository {
    pub(crate) fn init(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let repository = Self {
            path: path.canonicalize().unwrap(),
        };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = git_in(&self.path, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        write(&self.path.join(path), content);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path.join(path)).unwrap()
    }

    pub(crate) fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> CommitId {
        CommitId(self.git(&["rev-parse", "HEAD"]))
    }
}

/// Runs git as a person would, with an identity and without the configuration of this machine.
pub(crate) fn git_in(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(directory)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "User"), ("GIT_AUTHOR_EMAIL", "user@example.org")])
        .envs([
            ("GIT_COMMITTER_NAME", "User"),
            ("GIT_COMMITTER_EMAIL", "user@example.org"),
        ])
        .output()
        .unwrap()
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn make_executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `line 1` to `line n`.
pub(crate) fn numbered(lines: usize) -> String {
    (1..=lines).map(|line| format!("line {line}\n")).collect()
}

/// The text with one line replaced.
pub(crate) fn with_line(text: &str, line: usize, replacement: &str) -> String {
    let replaced = |(index, old): (usize, &str)| {
        if index + 1 == line {
            format!("{replacement}\n")
        } else {
            old.to_owned()
        }
    };
    text.split_inclusive('\n').enumerate().map(replaced).collect()
}

/// A commit on `parent` that exists only in the hub: a new file and another `README.md`.
pub(crate) fn result_on(fixture: &Fixture, parent: &CommitId, name: &str) -> CommitId {
    let place = fixture.place(name);
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(parent.clone()))
        .unwrap();
    write(&place.join("result").join(name), "done\n");
    write(&place.join("README.md"), format!("{name}\n"));
    let tree = fixture
        .hub
        .worktree_tree(&place, parent, &git::TreeLimits::default())
        .unwrap();
    fixture
        .hub
        .commit_tree(&tree, std::slice::from_ref(parent), &stamp(name))
        .unwrap()
}

/// How many files of a commit differ from the base.
pub(crate) fn changed_files(fixture: &Fixture, commit: &CommitId) -> usize {
    fixture.hub.changed_paths(&fixture.base, commit).unwrap().len()
}

/// The tree that git itself merges two commits of the hub to.
pub(crate) fn merged_by_git(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> TreeId {
    let output = git_in(fixture.hub.path(), &["merge-tree", "--write-tree", &ours.0, &theirs.0]);
    assert!(output.status.success());
    TreeId(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

/// The same on the base.
pub(crate) fn on_base(fixture: &Fixture, name: &str) -> CommitId {
    result_on(fixture, &fixture.base, name)
}

pub(crate) fn stamp(message: &str) -> Stamp {
    let identity = Identity {
        name: "Orchestrator".to_owned(),
        email: "orchestrator@example.org".to_owned(),
    };
    Stamp {
        message: message.to_owned(),
        identity,
        at_unix_s: 1_750_000_000,
    }
}

pub(crate) fn attempt_reference() -> String {
    git::refs::attempt(&RunId::new(), &TaskKey::from("task"), 1)
}

/// Everything in a repository but its files: to see that nothing was touched.
pub(crate) fn fingerprint(repository: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut directories = vec![repository.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
