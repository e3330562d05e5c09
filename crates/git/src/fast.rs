//! The fast merge: three-way over tree entries, never opening a subtree that only one side changed.
//!
//! It decides only where git's ORT can't do anything else, and gives up on the slightest doubt:
//! - Renames matter to ORT only where the other side touched the old path, its directory or the new path. Each of
//!   those is a deletion on one side meeting a change on the other, or a path that both sides added: given up.
//! - A path that becomes a directory, or a directory that becomes a path, on any side: given up.
//! - Both sides changed one file: decided only by [`content::merge`], where no attribute speaks of the path.
//!
//! Deciding only reads. Objects are written once everything is decided, so giving up leaves nothing behind.

use crate::{
    attributes::Attributes,
    content,
    error::{Doing, GitResult},
    hub::tree_of,
};
use git2::{Oid, Repository, Tree};
use std::collections::BTreeSet;

const TREE: i32 = 0o040_000;
const FILE: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;

/// The merged tree of two commits with one base; `None` if it is not trivially safe.
pub(crate) fn merge(
    repository: &Repository,
    base: Oid,
    ours: Oid,
    theirs: Oid,
) -> GitResult<Option<Oid>> {
    let sides = Sides {
        base: Some(tree_of(repository, base)?),
        ours: Some(tree_of(repository, ours)?),
        theirs: Some(tree_of(repository, theirs)?),
    };
    let mut merge = FastMerge {
        repository,
        attributes: Attributes::default(),
        one_side_deleted: false,
        both_added: false,
    };
    match merge.directory(&sides, &mut Vec::new())? {
        // A path that both sides added alike may be the target of a rename on one of them.
        Some(_) if merge.one_side_deleted && merge.both_added => Ok(None),
        Some(plan) => plan.write(repository).map(Some),
        None => Ok(None),
    }
}

struct Sides<'a> {
    base: Option<Tree<'a>>,
    ours: Option<Tree<'a>>,
    theirs: Option<Tree<'a>>,
}

#[derive(Clone, Copy, PartialEq)]
struct Entry {
    mode: i32,
    oid: Oid,
}

/// What becomes of a directory: our tree, with some entries changed.
struct Plan {
    ours: Option<Oid>,
    changes: Vec<(Vec<u8>, Change)>,
}

enum Change {
    Remove,
    Take(Entry),
    Content(i32, Vec<u8>),
    Directory(Plan),
}

/// What to do with one name.
enum Step {
    Keep,
    Change(Change),
    GiveUp,
}

struct FastMerge<'a> {
    repository: &'a Repository,
    attributes: Attributes,
    one_side_deleted: bool,
    both_added: bool,
}

impl<'a> FastMerge<'a> {
    fn directory(&mut self, sides: &Sides<'a>, path: &mut Vec<u8>) -> GitResult<Option<Plan>> {
        let all = [&sides.base, &sides.ours, &sides.theirs];
        self.attributes
            .enter(self.repository, path, all.into_iter().flatten());
        let mut names = BTreeSet::new();
        for tree in all.into_iter().flatten() {
            names.extend(tree.iter().map(|entry| entry.name_bytes().to_vec()));
        }
        let mut plan = Plan {
            ours: sides.ours.as_ref().map(Tree::id),
            changes: Vec::new(),
        };
        let mut left = 0;
        for name in names {
            let [base, ours, theirs] =
                all.map(|tree| tree.as_ref().and_then(|tree| entry(tree, &name)));
            let length = path.len();
            path.extend_from_slice(&name);
            let step = self.step(base, ours, theirs, path)?;
            path.truncate(length);
            match step {
                Step::GiveUp => return Ok(None),
                Step::Keep => left += usize::from(ours.is_some()),
                Step::Change(Change::Remove) => plan.changes.push((name, Change::Remove)),
                Step::Change(change) => {
                    left += 1;
                    plan.changes.push((name, change));
                }
            }
        }
        self.attributes.leave();
        // git has no empty directories; which one goes is a question of renames.
        Ok((left > 0 || path.is_empty()).then_some(plan))
    }

    fn step(
        &mut self,
        base: Option<Entry>,
        ours: Option<Entry>,
        theirs: Option<Entry>,
        path: &mut Vec<u8>,
    ) -> GitResult<Step> {
        let kinds = [base, ours, theirs].map(|entry| entry.map(|entry| entry.mode == TREE));
        if kinds.contains(&Some(true)) && kinds.contains(&Some(false)) {
            return Ok(Step::GiveUp);
        }
        if ours == theirs {
            return Ok(if self.same_change(base, ours)? {
                Step::Keep
            } else {
                Step::GiveUp
            });
        }
        if theirs == base {
            self.one_side_deleted |= self.deletes(base, ours)?;
            return Ok(Step::Keep);
        }
        if ours == base {
            self.one_side_deleted |= self.deletes(base, theirs)?;
            return Ok(Step::Change(theirs.map_or(Change::Remove, Change::Take)));
        }
        match (base, ours, theirs) {
            (base, Some(ours), Some(theirs)) if ours.mode == TREE => {
                self.both_directories(base, ours, theirs, path)
            }
            (Some(base), Some(ours), Some(theirs)) => self.both_files(base, ours, theirs, path),
            // A change meets a deletion, or two additions differ.
            _ => Ok(Step::GiveUp),
        }
    }

    fn both_directories(
        &mut self,
        base: Option<Entry>,
        ours: Entry,
        theirs: Entry,
        path: &mut Vec<u8>,
    ) -> GitResult<Step> {
        let sides = Sides {
            base: base.map(|base| self.tree(base)).transpose()?,
            ours: Some(self.tree(ours)?),
            theirs: Some(self.tree(theirs)?),
        };
        path.push(b'/');
        let plan = self.directory(&sides, path)?;
        path.pop();
        Ok(plan.map_or(Step::GiveUp, |plan| Step::Change(Change::Directory(plan))))
    }

    fn both_files(
        &mut self,
        base: Entry,
        ours: Entry,
        theirs: Entry,
        path: &[u8],
    ) -> GitResult<Step> {
        let one_mode = base.mode == ours.mode && base.mode == theirs.mode;
        if !one_mode || !matches!(base.mode, FILE | EXECUTABLE) {
            return Ok(Step::GiveUp);
        }
        let attributes = self.attributes.of(path);
        if !attributes.merge_is_plain() {
            return Ok(Step::GiveUp);
        }
        let mut contents = Vec::with_capacity(3);
        for entry in [base, ours, theirs] {
            let blob = self
                .repository
                .find_blob(entry.oid)
                .doing(|| format!("can't read the blob {}", entry.oid))?;
            if blob.content().contains(&b'\r') && !attributes.line_ends_are_plain() {
                return Ok(Step::GiveUp);
            }
            contents.push(blob);
        }
        let merged = content::merge(
            contents[0].content(),
            contents[1].content(),
            contents[2].content(),
        );
        Ok(merged.map_or(Step::GiveUp, |bytes| {
            Step::Change(Change::Content(base.mode, bytes))
        }))
    }

    /// Both sides made the same change. A deletion in it may be half of two different renames: false.
    fn same_change(&mut self, base: Option<Entry>, side: Option<Entry>) -> GitResult<bool> {
        match (base, side) {
            (base, side) if base == side => Ok(true),
            (_, None) => Ok(false),
            (None, Some(_)) => {
                self.both_added = true;
                Ok(true)
            }
            (Some(base), Some(side)) if base.mode == TREE && side.mode == TREE => {
                let (base, side) = (self.tree(base)?, self.tree(side)?);
                for name in names(&base, &side) {
                    let (before, after) = (entry(&base, &name), entry(&side, &name));
                    let kinds = [before, after].map(|entry| entry.map(|entry| entry.mode == TREE));
                    let kind_changed = before.is_some() && after.is_some() && kinds[0] != kinds[1];
                    if kind_changed || !self.same_change(before, after)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Some(_), Some(_)) => Ok(true),
        }
    }

    /// Whether a change that one side made deletes a file somewhere.
    fn deletes(&self, base: Option<Entry>, side: Option<Entry>) -> GitResult<bool> {
        match (base, side) {
            // It is known already, and nothing depends on it a second time.
            _ if self.one_side_deleted => Ok(true),
            (base, side) if base == side => Ok(false),
            (None, _) => Ok(false),
            (Some(_), None) => Ok(true),
            (Some(base), Some(side)) if base.mode == TREE && side.mode == TREE => {
                let (base, side) = (self.tree(base)?, self.tree(side)?);
                for found in &base {
                    let before = Entry {
                        mode: found.filemode_raw(),
                        oid: found.id(),
                    };
                    if self.deletes(Some(before), entry(&side, found.name_bytes()))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (Some(base), Some(side)) => Ok((base.mode == TREE) != (side.mode == TREE)),
        }
    }

    fn tree(&self, entry: Entry) -> GitResult<Tree<'a>> {
        self.repository
            .find_tree(entry.oid)
            .doing(|| format!("can't read the tree {}", entry.oid))
    }
}

impl Plan {
    fn write(self, repository: &Repository) -> GitResult<Oid> {
        let doing = || "can't write a merged tree".to_owned();
        if let (Some(ours), true) = (self.ours, self.changes.is_empty()) {
            return Ok(ours);
        }
        let ours = self
            .ours
            .map(|oid| repository.find_tree(oid))
            .transpose()
            .doing(doing)?;
        let mut builder = repository.treebuilder(ours.as_ref()).doing(doing)?;
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

fn entry(tree: &Tree<'_>, name: &[u8]) -> Option<Entry> {
    tree.get_name_bytes(name).map(|entry| Entry {
        mode: entry.filemode_raw(),
        oid: entry.id(),
    })
}

fn names(one: &Tree<'_>, two: &Tree<'_>) -> BTreeSet<Vec<u8>> {
    one.iter()
        .chain(two.iter())
        .map(|entry| entry.name_bytes().to_vec())
        .collect()
}
