//! From where git reads attributes in a repository without files: those of our side, as a merge in a checkout would.

use super::{GitVersion, git_cli_version};
use crate::{
    error::{At, Doing, GitResult},
    ids::commit_oid,
    tree::{EXECUTABLE, FILE, TREE},
};
use domain::CommitId;
use git2::Repository;
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

/// The first git that takes attributes from a commit that is named to it.
const READS_COMMITS: GitVersion = GitVersion {
    major: 2,
    minor: 41,
    patch: 0,
};

/// From where.
pub(super) enum AttributeSource {
    /// From the commit itself.
    Commit,
    /// From files in a directory that git takes for the checkout; nothing else is in it.
    Files(TempDir),
}

impl AttributeSource {
    /// As the git program on PATH understands it.
    pub(super) fn for_this_git(git_directory: &Path, ours: &CommitId) -> GitResult<Self> {
        static VERSION: OnceLock<GitVersion> = OnceLock::new();
        let version = match VERSION.get() {
            Some(version) => *version,
            None => *VERSION.get_or_init({
                let found = git_cli_version()?;
                move || found
            }),
        };
        match version >= READS_COMMITS {
            true => Ok(Self::Commit),
            false => Self::files(git_directory, ours),
        }
    }

    /// The attributes of a commit as files.
    pub(super) fn files(git_directory: &Path, ours: &CommitId) -> GitResult<Self> {
        let doing = || format!("can't read the attributes of {ours}");
        let repository = Repository::open(git_directory).doing(doing)?;
        let commit = repository.find_commit(commit_oid(ours)?).doing(doing)?;
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::new(), commit.tree().doing(doing)?)];
        while let Some((directory, tree)) = open.pop() {
            for entry in &tree {
                let path = directory.join(OsStr::from_bytes(entry.name_bytes()));
                match entry.filemode_raw() {
                    TREE => open.push((path, repository.find_tree(entry.id()).doing(doing)?)),
                    // A link of that name speaks of nothing.
                    FILE | EXECUTABLE if entry.name_bytes() == b".gitattributes" => {
                        found.push((path, repository.find_blob(entry.id()).doing(doing)?));
                    }
                    _ => {}
                }
            }
        }
        let directory = tempfile::tempdir().at("can't make a directory for attributes in", &std::env::temp_dir())?;
        for (name, blob) in found {
            // A path of a tree that led out of it would not be followed.
            if name.components().any(|part| !matches!(part, Component::Normal(_))) {
                continue;
            }
            let place = directory.path().join(name);
            let parent = place.parent().unwrap_or(directory.path());
            fs::create_dir_all(parent).at("can't make the directory", parent)?;
            fs::write(&place, blob.content()).at("can't write", &place)?;
        }
        Ok(Self::Files(directory))
    }

    pub(super) fn apply_to(&self, command: &mut Command, ours: &CommitId) {
        match self {
            Self::Commit => {
                command.env("GIT_ATTR_SOURCE", &ours.0);
            }
            Self::Files(directory) => {
                command
                    .args(["-c", "core.bare=false"])
                    .env("GIT_WORK_TREE", directory.path())
                    .current_dir(directory.path());
            }
        }
    }
}
