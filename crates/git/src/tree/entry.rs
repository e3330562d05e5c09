//! The entries of a tree, and the modes they can have.

use git2::{Oid, Tree};

pub(crate) const TREE: i32 = 0o040_000;
pub(crate) const FILE: i32 = 0o100_644;
pub(crate) const EXECUTABLE: i32 = 0o100_755;
pub(crate) const LINK: i32 = 0o120_000;
pub(crate) const SUBMODULE: i32 = 0o160_000;

#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) mode: i32,
    pub(crate) oid: Oid,
}

pub(crate) fn entry(tree: &Tree<'_>, name: &[u8]) -> Option<Entry> {
    tree.get_name_bytes(name).map(|entry| Entry {
        mode: entry.filemode_raw(),
        oid: entry.id(),
    })
}

/// Whether git writes this mode today; trees of old have others, which git changes in passing.
pub(crate) fn is_usual(mode: i32) -> bool {
    matches!(mode, TREE | FILE | EXECUTABLE | LINK | SUBMODULE)
}
