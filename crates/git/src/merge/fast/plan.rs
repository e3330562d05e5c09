//! What the fast merge decided, and writing it.

use crate::{
    error::{Doing, GitResult},
    tree::{Entry, TREE, is_usual},
};
use git2::{Oid, Repository, Tree};
use std::cmp::Ordering;

/// What becomes of a directory: our tree, with some entries changed.
pub(crate) struct Plan {
    start: Option<Oid>,
    pub(crate) changes: Vec<(Vec<u8>, Change)>,
}

pub(crate) enum Change {
    Remove,
    Take(Entry),
    Content(i32, Vec<u8>),
    Directory(Plan),
}

impl Plan {
    pub(crate) fn unchanged(tree: Oid) -> Self {
        Self {
            start: Some(tree),
            changes: Vec::new(),
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            start: None,
            changes: Vec::new(),
        }
    }

    pub(crate) fn write(self, repository: &Repository) -> GitResult<Oid> {
        let doing = || "can't write a merged tree".to_owned();
        if let (Some(start), true) = (self.start, self.changes.is_empty()) {
            return Ok(start);
        }
        let start = self
            .start
            .map(|oid| repository.find_tree(oid))
            .transpose()
            .doing(doing)?;
        let mut builder = repository.treebuilder(start.as_ref()).doing(doing)?;
        for (name, change) in self.changes {
            let entry = match change {
                Change::Remove => {
                    builder.remove(name).doing(doing)?;
                    continue;
                }
                Change::Take(entry) => entry,
                Change::Content(mode, bytes) => Entry {
                    mode,
                    oid: repository.blob(&bytes).doing(doing)?,
                },
                Change::Directory(plan) => Entry {
                    mode: TREE,
                    oid: plan.write(repository)?,
                },
            };
            builder.insert(name, entry.oid, entry.mode).doing(doing)?;
        }
        builder.write().doing(doing)
    }
}

/// The names whose entries are not the same in all three trees; `None` if one of them has an unusual mode. The trees
/// are walked side by side: a large directory of which little changed costs little.
pub(crate) fn differing(base: Option<&Tree<'_>>, ours: &Tree<'_>, theirs: &Tree<'_>) -> Option<Vec<Vec<u8>>> {
    let mut sides = [base, Some(ours), Some(theirs)].map(|tree| Cursor { tree, index: 0 });
    let mut names = Vec::new();
    loop {
        let [base, ours, theirs] = sides.each_ref().map(Cursor::entry);
        let heads = [&base, &ours, &theirs];
        let Some(first) = heads
            .iter()
            .filter_map(|head| head.as_ref())
            .min_by(|one, two| order(one, two))
        else {
            break;
        };
        if heads
            .iter()
            .copied()
            .flatten()
            .any(|head| !is_usual(head.filemode_raw()))
        {
            return None;
        }
        let at_first = heads.map(|head| head.as_ref().filter(|head| order(head, first) == Ordering::Equal));
        let alike = |head: &Option<&git2::TreeEntry<'_>>| {
            head.is_some_and(|head| head.id() == first.id() && head.filemode_raw() == first.filemode_raw())
        };
        if !at_first.iter().all(alike) {
            names.push(first.name_bytes().to_vec());
        }
        let advance = at_first.map(|head| head.is_some());
        for (side, advance) in sides.iter_mut().zip(advance) {
            side.index += usize::from(advance);
        }
    }
    // A name that is a directory on one side and a file on another stands at two places in git's order.
    names.sort_unstable();
    names.dedup();
    Some(names)
}

struct Cursor<'a> {
    tree: Option<&'a Tree<'a>>,
    index: usize,
}

impl<'a> Cursor<'a> {
    fn entry(&self) -> Option<git2::TreeEntry<'a>> {
        self.tree?.get(self.index)
    }
}

/// git's order: directories as if their names ended in a slash.
fn order(one: &git2::TreeEntry<'_>, two: &git2::TreeEntry<'_>) -> Ordering {
    let slash = |entry: &git2::TreeEntry<'_>| (entry.filemode_raw() == TREE).then_some(b'/');
    let (one_name, two_name) = (one.name_bytes(), two.name_bytes());
    one_name
        .iter()
        .copied()
        .chain(slash(one))
        .cmp(two_name.iter().copied().chain(slash(two)))
}
