//! Reading history: differences, ancestry, logs, file contents.

use crate::{
    error::{Doing, GitError, GitResult},
    hub::{Hub, tree_of},
    ids::{BlobId, RepoPath, commit_id, commit_oid},
    tree,
};
use domain::CommitId;
use git2::{Diff, DiffOptions, ErrorCode, Oid, Repository, Sort};

/// A commit in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub commit: CommitId,
    /// Its parents, first parent first.
    pub parents: Vec<CommitId>,
    /// The first line of its message.
    pub summary: String,
    /// The name of its author.
    pub author: String,
    /// When it was committed, in seconds since 1970.
    pub at_unix_s: i64,
}

impl Hub {
    /// The paths that differ between two commits, in order.
    pub fn changed_paths(&self, from: &CommitId, to: &CommitId) -> GitResult<Vec<RepoPath>> {
        self.with(|handle| {
            let diff = diff(&handle.objects, from, to)?;
            let paths = diff.deltas().filter_map(|delta| {
                let path = delta
                    .new_file()
                    .path_bytes()
                    .or_else(|| delta.old_file().path_bytes())?;
                Some(RepoPath::new(path))
            });
            Ok(paths.collect())
        })
    }

    /// The newest `limit` commits that `to` reaches and `from` does not, newest first.
    pub fn log(&self, from: Option<&CommitId>, to: &CommitId, limit: usize) -> GitResult<Vec<LogEntry>> {
        self.with(|handle| {
            walk(&handle.objects, from, to)?
                .take(limit)
                .map(|oid| {
                    log_entry(
                        &handle.objects,
                        oid.doing(|| format!("can't read the history of {to}"))?,
                    )
                })
                .collect()
        })
    }

    /// The content of a file in a commit; `None` if there is no file at the path.
    pub fn read_file(&self, commit: &CommitId, path: &RepoPath) -> GitResult<Option<Vec<u8>>> {
        self.with(|handle| {
            let tree = tree_of(&handle.objects, commit_oid(commit)?)?.id();
            tree::read(&handle.objects, tree, path)
        })
    }

    /// The size of a blob in bytes, without reading it.
    pub fn blob_size(&self, blob: &BlobId) -> GitResult<usize> {
        let oid = blob.oid()?;
        self.with(|handle| {
            let doing = || format!("can't look at the blob {blob}");
            let database = handle.objects.odb().doing(doing)?;
            Ok(database.read_header(oid).doing(doing)?.0)
        })
    }

    /// The content of a blob.
    pub fn read_blob(&self, blob: &BlobId) -> GitResult<Vec<u8>> {
        let oid = blob.oid()?;
        self.with(|handle| {
            let found = handle
                .objects
                .find_blob(oid)
                .doing(|| format!("can't read the blob {blob}"))?;
            Ok(found.content().to_vec())
        })
    }
}

/// All best common ancestors.
pub(crate) fn merge_bases(repository: &Repository, one: Oid, two: Oid) -> GitResult<Vec<Oid>> {
    match repository.merge_bases(one, two) {
        Ok(bases) => Ok(bases.to_vec()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(Vec::new()),
        Err(error) => Err(GitError::git(
            format!("can't compare the histories of {one} and {two}"),
            error,
        )),
    }
}

pub(crate) fn is_ancestor(repository: &Repository, ancestor: Oid, of: Oid) -> GitResult<bool> {
    if ancestor == of {
        return Ok(true);
    }
    repository
        .graph_descendant_of(of, ancestor)
        .doing(|| format!("can't compare the histories of {ancestor} and {of}"))
}

fn diff<'a>(repository: &'a Repository, from: &CommitId, to: &CommitId) -> GitResult<Diff<'a>> {
    let old = tree_of(repository, commit_oid(from)?)?;
    let new = tree_of(repository, commit_oid(to)?)?;
    let mut options = DiffOptions::new();
    options.context_lines(3).ignore_submodules(true);
    repository
        .diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))
        .doing(|| format!("can't compare {from} and {to}"))
}

fn walk<'a>(repository: &'a Repository, from: Option<&CommitId>, to: &CommitId) -> GitResult<git2::Revwalk<'a>> {
    let doing = || format!("can't read the history of {to}");
    let mut walk = repository.revwalk().doing(doing)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).doing(doing)?;
    walk.push(commit_oid(to)?).doing(doing)?;
    if let Some(from) = from {
        walk.hide(commit_oid(from)?).doing(doing)?;
    }
    Ok(walk)
}

fn log_entry(repository: &Repository, oid: Oid) -> GitResult<LogEntry> {
    let commit = repository
        .find_commit(oid)
        .doing(|| format!("can't read the commit {oid}"))?;
    Ok(LogEntry {
        commit: commit_id(oid),
        parents: commit.parent_ids().map(commit_id).collect(),
        summary: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
        author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
        at_unix_s: commit.time().seconds(),
    })
}
