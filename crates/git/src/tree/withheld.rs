//! What a repository holds although git refuses to check it out: a directory whose name is `.git` on another file system,
//! `.gitmodules` as a symlink. Such a repository can be worked on: what is withheld is in no checkout of ours, and each
//! commit made from one holds it as it was.

use crate::tree::{MAX_DEPTH, reserved::is_never_checked_out};
use git2::{FileMode, Oid, Repository, Tree, TreeEntry};

/// Whether nothing of a tree's entry is in a checkout.
pub(crate) fn is_withheld(repository: &Repository, entry: &TreeEntry<'_>, depth: usize) -> Result<bool, git2::Error> {
    if is_never_checked_out(entry.name_bytes(), entry.filemode_raw()) {
        return Ok(true);
    }
    if !is_directory(entry) || depth > MAX_DEPTH {
        return Ok(false);
    }
    let tree = repository.find_tree(entry.id())?;
    for entry in &tree {
        if !is_withheld(repository, &entry, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(!tree.is_empty())
}

/// The tree without what is withheld; `None`, where nothing is.
pub(crate) fn without_withheld(
    repository: &Repository,
    tree: &Tree<'_>,
    depth: usize,
) -> Result<Option<Oid>, git2::Error> {
    // Nothing that deep can be recorded, and libgit2 knows the same names.
    if depth > MAX_DEPTH {
        return Ok(None);
    }
    let mut builder = None;
    for entry in tree {
        let name = entry.name_bytes();
        let reduced = match is_never_checked_out(name, entry.filemode_raw()) {
            true => None,
            false if !is_directory(&entry) => continue,
            false => match without_withheld(repository, &repository.find_tree(entry.id())?, depth + 1)? {
                None => continue,
                reduced => reduced,
            },
        };
        let builder = match &mut builder {
            Some(builder) => builder,
            none => none.insert(repository.treebuilder(Some(tree))?),
        };
        match reduced {
            Some(reduced) if !repository.find_tree(reduced)?.is_empty() => {
                builder.insert(name, reduced, FileMode::Tree.into())?;
            }
            _ => builder.remove(name)?,
        }
    }
    builder.map(|builder| builder.write()).transpose()
}

fn is_directory(entry: &TreeEntry<'_>) -> bool {
    entry.filemode_raw() == i32::from(FileMode::Tree)
}
