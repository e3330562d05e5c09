//! What a commit holds, what it brought, and one file's difference.

use crate::{
    error::{Doing, GitResult},
    hub::{Hub, tree_of},
    ids::{RepoPath, commit_oid},
};
use domain::CommitId;
use git2::{DiffFormat, DiffOptions, ObjectType, TreeWalkMode, TreeWalkResult};

impl Hub {
    /// Every file of a commit, in git's order. Submodules are not files.
    pub fn paths(&self, commit: &CommitId) -> GitResult<Vec<RepoPath>> {
        self.with(|handle| {
            let doing = || format!("can't list the files of {commit}");
            let tree = tree_of(&handle.objects, commit_oid(commit)?)?;
            let mut paths = Vec::new();
            tree.walk(TreeWalkMode::PreOrder, |directory, entry| {
                if entry.kind() == Some(ObjectType::Blob) {
                    paths.push(RepoPath::new([directory.as_bytes(), entry.name_bytes()].concat()));
                }
                TreeWalkResult::Ok
            })
            .doing(doing)?;
            Ok(paths)
        })
    }

    /// The paths in which a commit differs from its first parent; all of them for a commit without one.
    pub fn brought(&self, commit: &CommitId) -> GitResult<Vec<RepoPath>> {
        let parent = self
            .log(None, commit, 1)?
            .into_iter()
            .next()
            .and_then(|entry| entry.parents.into_iter().next());
        match parent {
            Some(parent) => self.changed_paths(&parent, commit),
            None => self.paths(commit),
        }
    }

    /// What changed in one file from one commit to another, as a unified diff of at most `limit_bytes`. Bytes that
    /// are not UTF-8 are replaced.
    pub fn file_diff(&self, from: &CommitId, to: &CommitId, path: &RepoPath, limit_bytes: usize) -> GitResult<String> {
        self.with(|handle| {
            let doing = || format!("can't compare '{path}' in {from} and {to}");
            let mut options = DiffOptions::new();
            options.pathspec(path.as_bytes()).disable_pathspec_match(true);
            let from_tree = tree_of(&handle.objects, commit_oid(from)?)?;
            let to_tree = tree_of(&handle.objects, commit_oid(to)?)?;
            let diff = handle
                .objects
                .diff_tree_to_tree(Some(&from_tree), Some(&to_tree), Some(&mut options))
                .doing(doing)?;
            let mut bytes = Vec::new();
            let printed = diff.print(DiffFormat::Patch, |_, _, line| {
                if matches!(line.origin(), '+' | '-' | ' ') {
                    bytes.push(line.origin() as u8);
                }
                bytes.extend_from_slice(line.content());
                bytes.len() <= limit_bytes
            });
            // A print that was cut short by the limit ends in an error that says so.
            if bytes.len() <= limit_bytes {
                printed.doing(doing)?;
            }
            bytes.truncate(limit_bytes);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }
}
