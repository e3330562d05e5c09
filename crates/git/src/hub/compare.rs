//! What changed file by file, and a commit in which single files are others.

use crate::{
    error::{Doing, GitResult},
    hub::{Hub, tree_of},
    ids::{BlobId, RepoPath, Stamp, commit_oid},
    tree::{self, Edit},
};
use domain::CommitId;
use git2::{DiffFile, DiffOptions, Oid};
use std::collections::BTreeMap;

/// A file as a tree names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its content; for a link, where it leads.
    pub blob: BlobId,
    /// Its mode as git has it: 0o100644, 0o100755, 0o120000.
    pub mode: u32,
}

/// A path that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// Which.
    pub path: RepoPath,
    /// What was there; `None` for a new file.
    pub before: Option<FileEntry>,
    /// What is there; `None` for a deleted file.
    pub after: Option<FileEntry>,
}

/// What a path is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A file that is in the hub.
    Entry(FileEntry),
    /// A content of our own, under a mode.
    Content(Vec<u8>, u32),
    /// Nothing.
    Absent,
}

impl Hub {
    /// The files that differ between two commits, in order. A renamed file is one that was deleted and one that is
    /// new; submodules are left out.
    pub fn changed_files(&self, from: &CommitId, to: &CommitId) -> GitResult<Vec<ChangedFile>> {
        self.with(|handle| {
            let old = tree_of(&handle.objects, commit_oid(from)?)?;
            let new = tree_of(&handle.objects, commit_oid(to)?)?;
            let mut options = DiffOptions::new();
            options.ignore_submodules(true).include_typechange(true);
            let diff = handle
                .objects
                .diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))
                .doing(|| format!("can't compare {from} and {to}"))?;
            let changed = diff.deltas().filter_map(|delta| {
                let (before, after) = (delta.old_file(), delta.new_file());
                let path = after.path_bytes().or_else(|| before.path_bytes())?;
                Some(ChangedFile {
                    path: RepoPath::new(path),
                    before: entry(&before),
                    after: entry(&after),
                })
            });
            Ok(changed.collect())
        })
    }

    /// A child of a commit in which some files are others. Nothing names it: it is for a checkout that is thrown away.
    pub fn commit_with(
        &self,
        commit: &CommitId,
        files: &[(RepoPath, Replacement)],
        stamp: &Stamp,
    ) -> GitResult<CommitId> {
        let tree = self.with(|handle| {
            let mut edits = BTreeMap::new();
            for (path, replacement) in files {
                let edit = match replacement {
                    Replacement::Entry(entry) => Edit::Put {
                        oid: entry.blob.oid()?,
                        mode: entry.mode,
                    },
                    Replacement::Content(content, mode) => Edit::Put {
                        oid: handle
                            .objects
                            .blob(content)
                            .doing(|| format!("can't write a version of '{path}'"))?,
                        mode: *mode,
                    },
                    Replacement::Absent => Edit::Remove,
                };
                edits.insert(path.clone(), edit);
            }
            let tree = tree_of(&handle.objects, commit_oid(commit)?)?.id();
            tree::apply(&handle.objects, tree, &edits)
        })?;
        self.commit_tree(&tree.into(), std::slice::from_ref(commit), stamp)
    }
}

fn entry(file: &DiffFile<'_>) -> Option<FileEntry> {
    (file.id() != Oid::ZERO_SHA1).then(|| FileEntry {
        blob: file.id().into(),
        mode: u32::from(file.mode()),
    })
}
