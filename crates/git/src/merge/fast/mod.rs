//! The fast merge: three-way over tree entries, never opening a subtree that only one side changed.
//!
//! It decides where git's ORT can do nothing else, and falls back on the slightest doubt. What ORT can do beyond taking
//! the side that changed is to follow renames and to merge contents:
//!
//! - ORT looks for the new name of a path that a side removed only if the other side changed or removed that path
//!   too, or added something to a directory that the first side removed whole. The first and the last are a change
//!   that meets a deletion: given up. Where both removed a path, a side that added no file has no new name for it;
//!   otherwise: given up.
//! - A path that becomes a directory, or a directory that becomes a path, on any side: given up.
//! - Contents that both changed are merged by git's own line merge ([`content::merge`]), unless attributes speak of
//!   the path.
//!
//! Deciding only reads. Objects are written once everything is decided, so giving up leaves nothing behind.

mod plan;

use crate::{
    error::{Doing, GitError, GitResult},
    hub::tree_of,
    merge::{
        attributes::Attributes,
        content::{self, Merged},
        fast::plan::{Change, Plan, differing},
    },
    tree::{EXECUTABLE, Entry, FILE, TREE, entry},
};
use git2::{Blob, Oid, Repository, Tree};
use serde::{Deserialize, Serialize};

/// Deeper directories are left to git, which has the whole stack of a process for them.
const MAX_DEPTH: usize = 128;

/// Why the fast engine left a merge to git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GaveUp {
    /// The histories have more than one best common ancestor.
    SeveralBases,
    /// One side changed what the other removed or renamed.
    ChangeMeetsDeletion,
    /// Both sides removed a path, and one of them added files: they may be renames.
    BothDeleted,
    /// Both sides added a path, with different contents.
    BothAdded,
    /// A directory, file, symlink or submodule became something else, or both sides changed a symlink or submodule.
    KindChanged,
    /// Attributes say how a file that both sides changed is to be merged.
    Attributes,
    /// Both sides changed a file that is binary or very large.
    NotText,
    /// Both sides changed the same lines.
    Lines,
    /// A mode that git writes no more, or directories that are nested very deep.
    Unusual,
}

/// The merged tree of two commits with one base, unless it is not trivially safe.
pub(crate) fn merge(repository: &Repository, base: Oid, ours: Oid, theirs: Oid) -> GitResult<Result<Oid, GaveUp>> {
    let trees = [
        tree_of(repository, base)?,
        tree_of(repository, ours)?,
        tree_of(repository, theirs)?,
    ];
    match decide(repository, trees) {
        Ok(plan) => plan.write(repository).map(Ok),
        Err(Stop::GaveUp(reason)) => Ok(Err(reason)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn decide(repository: &Repository, trees: [Tree<'_>; 3]) -> Result<Plan, Stop> {
    let mut merge = FastMerge {
        repository,
        attributes: Attributes::default(),
        both_deleted: false,
    };
    let [base, ours, theirs] = trees.each_ref().map(|tree| Entry {
        mode: TREE,
        oid: tree.id(),
    });
    let plan = match merge.step(Some(base), Some(ours), Some(theirs), &mut Vec::new())? {
        Step::Keep => Plan::unchanged(ours.oid),
        Step::Change(Change::Take(entry)) => Plan::unchanged(entry.oid),
        Step::Change(Change::Directory(plan)) => plan,
        // The root is there even when it is empty.
        Step::Change(_) => Plan::empty(),
    };
    if merge.both_deleted && (merge.adds(Some(base), Some(ours))? || merge.adds(Some(base), Some(theirs))?) {
        return Err(Stop::GaveUp(GaveUp::BothDeleted));
    }
    Ok(plan)
}

enum Stop {
    GaveUp(GaveUp),
    Failed(GitError),
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        Self::Failed(error)
    }
}

/// What to do with one name.
enum Step {
    Keep,
    Change(Change),
}

struct FastMerge<'a> {
    repository: &'a Repository,
    attributes: Attributes,
    both_deleted: bool,
}

impl<'a> FastMerge<'a> {
    /// Decides one path. The path ends without a slash; the root is the empty path.
    fn step(
        &mut self,
        base: Option<Entry>,
        ours: Option<Entry>,
        theirs: Option<Entry>,
        path: &mut Vec<u8>,
    ) -> Result<Step, Stop> {
        let found = [base, ours, theirs].into_iter().flatten();
        let trees = found.clone().filter(|entry| entry.mode == TREE).count();
        if trees > 0 && trees < found.count() {
            return Err(Stop::GaveUp(GaveUp::KindChanged));
        }
        if ours == theirs {
            self.same_change(base, ours)?;
            return Ok(Step::Keep);
        }
        if theirs == base {
            return Ok(Step::Keep);
        }
        if ours == base {
            return Ok(Step::Change(theirs.map_or(Change::Remove, Change::Take)));
        }
        match (base, ours, theirs) {
            (base, Some(ours), Some(theirs)) if trees > 0 => self.both_directories(base, ours, theirs, path),
            (Some(base), Some(ours), Some(theirs)) => self.both_files(base, ours, theirs, path).map(Step::Change),
            (None, _, _) => Err(Stop::GaveUp(GaveUp::BothAdded)),
            (Some(_), _, _) => Err(Stop::GaveUp(GaveUp::ChangeMeetsDeletion)),
        }
    }

    fn both_directories(
        &mut self,
        base: Option<Entry>,
        ours: Entry,
        theirs: Entry,
        path: &mut Vec<u8>,
    ) -> Result<Step, Stop> {
        let base = base.map(|base| self.tree(base)).transpose()?;
        let (ours, theirs) = (self.tree(ours)?, self.tree(theirs)?);
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        if path.iter().filter(|byte| **byte == b'/').count() > MAX_DEPTH {
            return Err(Stop::GaveUp(GaveUp::Unusual));
        }
        self.attributes
            .enter(self.repository, path, base.iter().chain([&ours, &theirs]));
        let plan = self.directory(base.as_ref(), &ours, &theirs, path)?;
        self.attributes.leave();
        path.truncate(length);
        Ok(Step::Change(match plan {
            Some(plan) => Change::Directory(plan),
            None => Change::Remove,
        }))
    }

    /// What becomes of a directory that both sides have and changed; `None`: nothing is left in it.
    fn directory(
        &mut self,
        base: Option<&Tree<'_>>,
        ours: &Tree<'_>,
        theirs: &Tree<'_>,
        path: &mut Vec<u8>,
    ) -> Result<Option<Plan>, Stop> {
        let mut plan = Plan::unchanged(ours.id());
        let mut left = ours.len();
        let names = differing(base, ours, theirs).ok_or(Stop::GaveUp(GaveUp::Unusual))?;
        for name in names {
            let before = base.and_then(|base| entry(base, &name));
            let (our_entry, their_entry) = (entry(ours, &name), entry(theirs, &name));
            let length = path.len();
            path.extend_from_slice(&name);
            let step = self.step(before, our_entry, their_entry, path)?;
            path.truncate(length);
            let Step::Change(change) = step else {
                continue;
            };
            match (&change, our_entry.is_some()) {
                (Change::Remove, true) => left -= 1,
                (Change::Remove, false) => continue,
                (_, true) => {}
                (_, false) => left += 1,
            }
            plan.changes.push((name, change));
        }
        Ok((left > 0).then_some(plan))
    }

    fn both_files(&mut self, base: Entry, ours: Entry, theirs: Entry, path: &[u8]) -> Result<Change, Stop> {
        let modes = [base.mode, ours.mode, theirs.mode];
        if !modes.iter().all(|mode| matches!(*mode, FILE | EXECUTABLE)) {
            return Err(Stop::GaveUp(GaveUp::KindChanged));
        }
        // Two modes among three versions: one side left it alone, or both changed it alike.
        let mode = if ours.mode == base.mode { theirs.mode } else { ours.mode };
        if ours.oid == theirs.oid || theirs.oid == base.oid {
            return Ok(Change::Take(Entry { mode, oid: ours.oid }));
        }
        if ours.oid == base.oid {
            return Ok(Change::Take(Entry { mode, oid: theirs.oid }));
        }
        if self.attributes.speak_of(path) {
            return Err(Stop::GaveUp(GaveUp::Attributes));
        }
        let (base, ours, theirs) = (self.text(base)?, self.text(ours)?, self.text(theirs)?);
        match content::merge(base.content(), ours.content(), theirs.content()) {
            Merged::Clean(bytes) => Ok(Change::Content(mode, bytes)),
            Merged::Conflict => Err(Stop::GaveUp(GaveUp::Lines)),
            Merged::NotText => Err(Stop::GaveUp(GaveUp::NotText)),
        }
    }

    /// A blob that is small enough to be merged here: the size is asked for before anything is read.
    fn text(&self, entry: Entry) -> Result<Blob<'a>, Stop> {
        let doing = || format!("can't read the blob {}", entry.oid);
        let (size, _) = self
            .repository
            .odb()
            .and_then(|odb| odb.read_header(entry.oid))
            .doing(doing)?;
        if size > content::MAX_BYTES {
            return Err(Stop::GaveUp(GaveUp::NotText));
        }
        Ok(self.repository.find_blob(entry.oid).doing(doing)?)
    }

    /// Looks for deletions in a change that both sides made alike.
    fn same_change(&mut self, base: Option<Entry>, side: Option<Entry>) -> Result<(), Stop> {
        match (base, side) {
            (base, side) if base == side => {}
            (None, _) => {}
            (Some(_), None) => self.both_deleted = true,
            (Some(base), Some(side)) if base.mode == TREE && side.mode == TREE => {
                let (base, side) = (self.tree(base)?, self.tree(side)?);
                for found in &base {
                    let name = found.name_bytes();
                    let before = Entry {
                        mode: found.filemode_raw(),
                        oid: found.id(),
                    };
                    let after = entry(&side, name);
                    if after.is_some_and(|after| (after.mode == TREE) != (before.mode == TREE)) {
                        return Err(Stop::GaveUp(GaveUp::KindChanged));
                    }
                    self.same_change(Some(before), after)?;
                }
            }
            (Some(_), Some(_)) => {}
        }
        Ok(())
    }

    /// Whether a side added a path that the base does not have.
    fn adds(&self, base: Option<Entry>, side: Option<Entry>) -> GitResult<bool> {
        match (base, side) {
            (base, side) if base == side => Ok(false),
            (_, None) => Ok(false),
            (None, Some(_)) => Ok(true),
            (Some(base), Some(side)) if base.mode == TREE && side.mode == TREE => {
                let (base, side) = (self.tree(base)?, self.tree(side)?);
                for found in &side {
                    let after = Entry {
                        mode: found.filemode_raw(),
                        oid: found.id(),
                    };
                    if self.adds(entry(&base, found.name_bytes()), Some(after))? {
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
