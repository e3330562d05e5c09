//! Flushing objects to disk before anything names them.

use crate::{
    error::{Doing, GitError, GitResult},
    files::sync_side_by_side,
    hub::{Handle, Hub},
    ids::commit_oid,
};
use domain::CommitId;
use git2::{ErrorCode, ObjectType, Oid, Repository, Sort, Tree};
use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Proof that a commit and everything it needs is on disk, and not only in the system's memory. A reference moves to
/// nothing less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable(CommitId);

impl Durable {
    /// The commit.
    pub fn commit(&self) -> &CommitId {
        &self.0
    }
}

/// Commits that this process has seen on disk, with all that they need. It spares reading every reference of the hub
/// for each merge, whose parents are nearly always among them.
#[derive(Debug, Default)]
pub(crate) struct KnownDurable(Mutex<HashSet<Oid>>);

/// More is forgotten, and found again among the references.
const MAX_KNOWN: usize = 50_000;
/// So many commits are looked through for known ones before the references are read.
const NEAR: usize = 64;

impl KnownDurable {
    fn contains(&self, commit: Oid) -> bool {
        self.lock().contains(&commit)
    }

    fn insert(&self, commits: impl IntoIterator<Item = Oid>) {
        let mut known = self.lock();
        if known.len() > MAX_KNOWN {
            known.clear();
        }
        known.extend(commits);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Oid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Flushes the objects of a commit that no reference of the hub reaches yet, and the directories that hold them.
    pub fn make_durable(&self, commit: &CommitId) -> GitResult<Durable> {
        let tip = commit_oid(commit)?;
        self.with(|handle| {
            let near = unknown_near(&handle.objects, tip, self.known_durable())?;
            let commits = match near {
                Some(commits) => commits,
                None => unreferenced(handle, tip, self.known_durable())?,
            };
            let mut files = LooseFiles {
                objects: self.path().join("objects"),
                ..LooseFiles::default()
            };
            for oid in commits.iter().rev() {
                files.collect(&handle.objects, *oid)?;
            }
            files.flush()?;
            self.known_durable().insert(commits);
            self.known_durable().insert([tip]);
            Ok(Durable(commit.clone()))
        })
    }
}

/// The commits up to `tip` that are not known to be on disk, children first; `None` if they are too many to be new.
fn unknown_near(repository: &Repository, tip: Oid, known: &KnownDurable) -> GitResult<Option<Vec<Oid>>> {
    let mut found = Vec::new();
    let mut next = vec![tip];
    while let Some(oid) = next.pop() {
        if known.contains(oid) || found.contains(&oid) {
            continue;
        }
        if found.len() == NEAR {
            return Ok(None);
        }
        let commit = match repository.find_commit(oid) {
            Ok(commit) => commit,
            // The end of a shallow history: the walk from the references knows it.
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(GitError::git(format!("can't read the commit {oid}"), error)),
        };
        found.push(oid);
        next.extend(commit.parent_ids());
    }
    Ok(Some(found))
}

/// The commits up to `tip` that no reference reaches, children first. What a reference names was flushed before it
/// was named, so this is known from now on.
fn unreferenced(handle: &Handle, tip: Oid, known: &KnownDurable) -> GitResult<Vec<Oid>> {
    let repository = &handle.objects;
    let doing = || format!("can't walk the history of {tip}");
    let mut walk = repository.revwalk().doing(doing)?;
    walk.set_sorting(Sort::TOPOLOGICAL).doing(doing)?;
    walk.push(tip).doing(doing)?;
    for reference in handle.refs.references().doing(doing)? {
        let Some(target) = reference.doing(doing)?.target() else {
            continue;
        };
        // A tag may name a tag or a tree; those hide nothing.
        if repository.find_commit(target).is_ok() {
            walk.hide(target).doing(doing)?;
            known.insert([target]);
        }
    }
    walk.map(|oid| oid.doing(doing)).collect()
}

#[derive(Default)]
struct LooseFiles {
    objects: PathBuf,
    seen: HashSet<Oid>,
    files: Vec<PathBuf>,
}

impl LooseFiles {
    fn collect(&mut self, repository: &Repository, oid: Oid) -> GitResult<()> {
        let doing = || format!("can't read the commit {oid}");
        let commit = repository.find_commit(oid).doing(doing)?;
        self.add(oid);
        let mut known = Vec::new();
        for parent in commit.parents() {
            known.push(parent.tree().doing(doing)?);
        }
        self.collect_tree(repository, &commit.tree().doing(doing)?, &known)
    }

    /// Objects that a parent's tree holds at the same place were flushed with the parent.
    fn collect_tree(&mut self, repository: &Repository, tree: &Tree<'_>, known: &[Tree<'_>]) -> GitResult<()> {
        if known.iter().any(|known| known.id() == tree.id()) || !self.add(tree.id()) {
            return Ok(());
        }
        for entry in tree {
            let before = known
                .iter()
                .filter_map(|tree| tree.get_name_bytes(entry.name_bytes()))
                .collect::<Vec<_>>();
            if before.iter().any(|before| before.id() == entry.id()) {
                continue;
            }
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let doing = || format!("can't read the tree {}", entry.id());
                    let subtree = repository.find_tree(entry.id()).doing(doing)?;
                    let known = before
                        .iter()
                        .filter_map(|entry| repository.find_tree(entry.id()).ok())
                        .collect::<Vec<_>>();
                    self.collect_tree(repository, &subtree, &known)?;
                }
                Some(ObjectType::Blob) => {
                    self.add(entry.id());
                }
                // A commit entry is a submodule: its objects are not here.
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, oid: Oid) -> bool {
        if !self.seen.insert(oid) {
            return false;
        }
        let hex = oid.to_string();
        let directory = self.objects.join(&hex[..2]);
        self.files.push(directory.join(&hex[2..]));
        true
    }

    fn flush(self) -> GitResult<()> {
        // What is not here lies in a pack: packs are flushed when they are written.
        let mut there: Vec<PathBuf> = self.files.into_iter().filter(|file| file.exists()).collect();
        if there.is_empty() {
            return Ok(());
        }
        let directories: BTreeSet<PathBuf> = there
            .iter()
            .filter_map(|file| file.parent().map(Path::to_owned))
            .collect();
        there.extend(directories);
        there.push(self.objects);
        sync_side_by_side(&there)
    }
}
