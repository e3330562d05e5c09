//! Reading and changing single paths of a tree.

mod entry;
pub(crate) mod reserved;
pub(crate) mod withheld;

pub(crate) use entry::{EXECUTABLE, Entry, FILE, LINK, SUBMODULE, TREE, entry, is_usual};

use crate::{
    error::{Doing, GitResult},
    ids::RepoPath,
};
use git2::{FileMode, ObjectType, Oid, Repository};
use std::collections::BTreeMap;

/// Deeper directories are in no commit of ours; a walk holds a file descriptor for each level.
pub(crate) const MAX_DEPTH: usize = 128;

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Put { oid: Oid, mode: u32 },
    Remove,
}

/// The tree with the edits made. Directories come and go with their files. Removing what is not there is fine.
pub(crate) fn apply(repository: &Repository, tree: Oid, edits: &BTreeMap<RepoPath, Edit>) -> GitResult<Oid> {
    let edits: Vec<(&[u8], Edit)> = edits.iter().map(|(path, edit)| (path.as_bytes(), *edit)).collect();
    let doing = || format!("can't change the tree {tree}");
    match directory(repository, Some(tree), &edits)? {
        Some(edited) => Ok(edited),
        None => repository
            .treebuilder(None)
            .and_then(|builder| builder.write())
            .doing(doing),
    }
}

/// The content of the file, or the target of the link, at a path; `None` if there is none.
pub(crate) fn read(repository: &Repository, tree: Oid, path: &RepoPath) -> GitResult<Option<Vec<u8>>> {
    let found = find(repository, tree, path)?;
    found.map(|entry| content(repository, entry.oid, path)).transpose()
}

/// The content of the file at a path; `None` if there is none, or a link.
pub(crate) fn read_regular(repository: &Repository, tree: Oid, path: &RepoPath) -> GitResult<Option<Vec<u8>>> {
    let found = find(repository, tree, path)?.filter(|entry| matches!(entry.mode, FILE | EXECUTABLE));
    found.map(|entry| content(repository, entry.oid, path)).transpose()
}

/// The content of a blob that is at a path.
pub(crate) fn content(repository: &Repository, blob: Oid, path: &RepoPath) -> GitResult<Vec<u8>> {
    let doing = || format!("can't read '{path}', which is the blob {blob}");
    Ok(repository.find_blob(blob).doing(doing)?.content().to_vec())
}

/// The file or link at a path.
pub(crate) fn find(repository: &Repository, tree: Oid, path: &RepoPath) -> GitResult<Option<Entry>> {
    let doing = || format!("can't read '{path}' in the tree {tree}");
    let mut directory = repository.find_tree(tree).doing(doing)?;
    let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let found = directory
            .get_name_bytes(part)
            .map(|entry| (entry.id(), entry.filemode_raw(), entry.kind()));
        let Some((oid, mode, kind)) = found else {
            break;
        };
        match (kind, parts.peek().is_some()) {
            (Some(ObjectType::Tree), true) => directory = repository.find_tree(oid).doing(doing)?,
            (Some(ObjectType::Blob), false) => return Ok(Some(Entry { oid, mode })),
            // A submodule's commit is in another repository.
            _ => break,
        }
    }
    Ok(None)
}

/// The new directory; `None` if nothing is left in it.
fn directory(repository: &Repository, tree: Option<Oid>, edits: &[(&[u8], Edit)]) -> GitResult<Option<Oid>> {
    let doing = || "can't write a changed tree".to_owned();
    let before = tree.map(|oid| repository.find_tree(oid)).transpose().doing(doing)?;
    let mut builder = repository.treebuilder(before.as_ref()).doing(doing)?;
    let mut below: BTreeMap<&[u8], Vec<(&[u8], Edit)>> = BTreeMap::new();
    for (path, edit) in edits {
        match (path.iter().position(|byte| *byte == b'/'), edit) {
            (Some(slash), _) => below
                .entry(&path[..slash])
                .or_default()
                .push((&path[slash + 1..], *edit)),
            (None, Edit::Put { oid, mode }) => {
                builder.insert(*path, *oid, *mode as i32).doing(doing)?;
            }
            (None, Edit::Remove) if before.as_ref().is_some_and(|tree| tree.get_name_bytes(path).is_some()) => {
                builder.remove(*path).doing(doing)?;
            }
            (None, Edit::Remove) => {}
        }
    }
    for (name, edits) in below {
        let entry = before.as_ref().and_then(|tree| tree.get_name_bytes(name));
        let subtree = entry
            .as_ref()
            .filter(|entry| entry.filemode() == i32::from(FileMode::Tree))
            .map(|entry| entry.id());
        match directory(repository, subtree, &edits)? {
            Some(oid) => {
                builder.insert(name, oid, FileMode::Tree.into()).doing(doing)?;
            }
            None if subtree.is_some() => builder.remove(name).doing(doing)?,
            None => {}
        }
    }
    match builder.is_empty() {
        true => Ok(None),
        false => builder.write().map(Some).doing(doing),
    }
}
