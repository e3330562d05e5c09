//! Flushing objects to disk before anything names them.

use crate::{
    error::{At, Doing, GitError, GitResult},
    hub::{Handle, Hub},
    ids::commit_oid,
};
use domain::CommitId;
use git2::{ObjectType, Oid, Repository, Sort, Tree};
use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
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

impl Hub {
    /// Flushes the objects of a commit that no reference of the hub reaches yet, and the directories that hold them.
    pub fn make_durable(&self, commit: &CommitId) -> GitResult<Durable> {
        self.with(|handle| {
            let mut files = LooseFiles {
                objects: self.path().join("objects"),
                ..LooseFiles::default()
            };
            files.collect(handle, commit_oid(commit)?)?;
            files.flush()?;
            Ok(Durable(commit.clone()))
        })
    }
}

#[derive(Default)]
struct LooseFiles {
    objects: PathBuf,
    seen: HashSet<Oid>,
    directories: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
}

impl LooseFiles {
    /// What a reference names was flushed before it was named: so the walk ends at the references.
    fn collect(&mut self, handle: &Handle, tip: Oid) -> GitResult<()> {
        let repository = &handle.objects;
        let doing = || format!("can't walk the history of {tip}");
        let mut walk = repository.revwalk().doing(doing)?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)
            .doing(doing)?;
        walk.push(tip).doing(doing)?;
        for reference in handle.refs.references().doing(doing)? {
            let Some(target) = reference.doing(doing)?.target() else {
                continue;
            };
            // A tag may name a tag or a tree; those hide nothing.
            if repository.find_commit(target).is_ok() {
                walk.hide(target).doing(doing)?;
            }
        }
        for oid in walk {
            let oid = oid.doing(doing)?;
            let commit = repository.find_commit(oid).doing(doing)?;
            self.add(oid);
            let mut known = Vec::new();
            for parent in commit.parents() {
                known.push(parent.tree().doing(doing)?);
            }
            self.collect_tree(repository, &commit.tree().doing(doing)?, &known)?;
        }
        Ok(())
    }

    /// Objects that a parent's tree holds at the same place were flushed with the parent.
    fn collect_tree(
        &mut self,
        repository: &Repository,
        tree: &Tree<'_>,
        known: &[Tree<'_>],
    ) -> GitResult<()> {
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

    fn flush(mut self) -> GitResult<()> {
        for file in &self.files {
            match File::open(file) {
                Ok(opened) => opened.sync_all().at("can't flush", file)?,
                // It lies in a pack: packs are flushed when they are written.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(GitError::io("can't flush", file, error)),
            }
            if let Some(directory) = file.parent() {
                self.directories.insert(directory.to_owned());
            }
        }
        for directory in &self.directories {
            sync_directory(directory)?;
        }
        match self.directories.is_empty() {
            true => Ok(()),
            false => sync_directory(&self.objects),
        }
    }
}

/// The packs of a repository at one moment: libgit2 writes packs without flushing them.
pub(crate) struct PackFiles {
    directory: PathBuf,
    known: HashSet<OsString>,
}

impl PackFiles {
    pub(crate) fn of(git_directory: &Path) -> GitResult<Self> {
        let directory = git_directory.join("objects/pack");
        let known = pack_names(&directory)?.collect();
        Ok(Self { directory, known })
    }

    /// Flushes the packs that came since.
    pub(crate) fn flush_new(&self) -> GitResult<()> {
        let mut found = false;
        for name in pack_names(&self.directory)?.filter(|name| !self.known.contains(name)) {
            let path = self.directory.join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .at("can't flush", &path)?;
            found = true;
        }
        if found {
            sync_directory(&self.directory)
        } else {
            Ok(())
        }
    }
}

fn pack_names(directory: &Path) -> GitResult<impl Iterator<Item = OsString>> {
    let entries = fs::read_dir(directory).at("can't read the packs in", directory)?;
    Ok(entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx"))
        }))
}

pub(crate) fn sync_directory(directory: &Path) -> GitResult<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .at("can't flush the directory", directory)
}
