//! A history of development: branches from a recent state of the main line, merged into it one after the other.

use super::source;
use fastrand::Rng;
use git2::{FileMode, Oid, Repository, Signature, Time, build::TreeUpdateBuilder};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// How much history.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) files: usize,
    pub(crate) merges: usize,
    pub(crate) seed: u64,
}

/// In a hundred branches, so many are made to conflict with the main line on purpose; others do by chance.
const CONFLICTING: u8 = 13;
/// Files that every other branch touches, as a list of modules or a change log.
const HOT: [&str; 3] = ["src/lib.rs", "CHANGELOG.md", "src/routes.rs"];
/// So far behind the main line a branch may start.
const MAX_LAG: usize = 7;

/// A merge that was made: of the main line, and of the branch.
pub(crate) type Merge = [Oid; 2];

/// Fills the bare repository with a history, whose main line is `refs/heads/main`.
pub(crate) fn generate(repository: &Repository, shape: Shape) -> Vec<Merge> {
    let mut history = History {
        repository,
        random: Rng::with_seed(shape.seed),
        main: Vec::new(),
        clock: 1_700_000_000,
    };
    history.root(shape.files);
    (0..shape.merges).map(|_| history.feature()).collect()
}

#[derive(Clone)]
struct State {
    commit: Oid,
    paths: BTreeSet<String>,
}

/// What a branch does to paths: a file, or none any more.
type Work = BTreeMap<String, Option<(FileMode, Oid)>>;

struct History<'a> {
    repository: &'a Repository,
    random: Rng,
    /// The newest states of the main line, oldest first.
    main: Vec<State>,
    clock: i64,
}

impl History<'_> {
    fn root(&mut self, files: usize) {
        let mut work = Work::new();
        for path in HOT {
            let text = source::file(&mut self.random, 14);
            work.insert(path.to_owned(), Some((FileMode::Blob, self.blob(&text))));
        }
        for number in 0..files.saturating_sub(HOT.len()) {
            let path = format!(
                "src/area_{}/part_{}/file_{number}.rs",
                number % (files / 100 + 3),
                number % 5
            );
            let functions = self.random.usize(2..12);
            let text = source::file(&mut self.random, functions);
            work.insert(path, Some((FileMode::Blob, self.blob(&text))));
        }
        let empty = self.repository.treebuilder(None).unwrap().write().unwrap();
        let tree = self.tree(empty, &work);
        let commit = self.commit(tree, &[]);
        let paths = work.into_keys().collect();
        self.main.push(State { commit, paths });
    }

    /// A branch of one or two commits, merged.
    fn feature(&mut self) -> Merge {
        let tip = self.main.last().unwrap().clone();
        let lag = self.random.usize(..=MAX_LAG).min(self.main.len() - 1);
        let base = self.main[self.main.len() - 1 - lag].clone();
        let mut work = Work::new();
        if self.random.u8(..100) < CONFLICTING && lag > 0 {
            self.collide(&mut work, &base, &tip);
        }
        for _ in 0..self.random.usize(1..5) {
            self.work(&mut work, &base);
        }
        let tree = self.tree(self.tree_of(base.commit), &work);
        let theirs = self.commit(tree, &[base.commit]);
        let mut paths = tip.paths.clone();
        for (path, file) in &work {
            match file {
                Some(_) => paths.insert(path.clone()),
                None => paths.remove(path),
            };
        }
        let tree = self.merged(&base, &tip, theirs, &work);
        let commit = self.commit(tree, &[tip.commit, theirs]);
        self.repository
            .reference("refs/heads/main", commit, true, "generated")
            .unwrap();
        self.main.push(State { commit, paths });
        if self.main.len() > MAX_LAG + 1 {
            self.main.remove(0);
        }
        [tip.commit, theirs]
    }

    fn work(&mut self, work: &mut Work, base: &State) {
        let path = match self.random.u8(..100) {
            0..12 => HOT[self.random.usize(..HOT.len())].to_owned(),
            _ => self.some(&base.paths),
        };
        match self.random.u16(..1000) {
            0..770 => {
                if let Some((mode, text)) = self.read(base.commit, &path) {
                    let text = source::edited(&mut self.random, &text);
                    work.insert(path, Some((mode, self.blob(&text))));
                }
            }
            770..880 => {
                let directory = path.rsplit_once('/').map_or("src", |(directory, _)| directory);
                let path = format!("{directory}/new_{}.rs", self.random.u32(..));
                let text = source::file(&mut self.random, 4);
                work.insert(path, Some((FileMode::Blob, self.blob(&text))));
            }
            880..920 => drop(work.insert(path, None)),
            920..970 => {
                let to = format!("src/moved/file_{}.rs", self.random.u32(..));
                self.rename(work, base, &path, to);
            }
            970..980 => {
                let Some((directory, _)) = path.rsplit_once('/').filter(|(part, _)| part.len() > 3) else {
                    return;
                };
                let to = format!("src/place_{}", self.random.u32(..));
                let below = format!("{directory}/");
                for path in base
                    .paths
                    .range(below.clone()..)
                    .take_while(|path| path.starts_with(&below))
                {
                    self.rename(work, base, path, format!("{to}/{}", &path[below.len()..]));
                }
            }
            980..990 => {
                if let Some((_, text)) = self.read(base.commit, &path) {
                    work.insert(path, Some((FileMode::BlobExecutable, self.blob(&text))));
                }
            }
            _ => {
                let rules = ["*.lock -merge\n", "* text=auto\n", "CHANGELOG.md merge=union\n"];
                let rules = rules[self.random.usize(..rules.len())];
                work.insert(".gitattributes".to_owned(), Some((FileMode::Blob, self.blob(rules))));
            }
        }
    }

    /// Every third rename edits a little, as when an import follows.
    fn rename(&mut self, work: &mut Work, base: &State, path: &str, to: String) {
        if let Some((mode, text)) = self.read(base.commit, path) {
            let text = match self.random.u8(..3) {
                0 => source::edited(&mut self.random, &text),
                _ => text,
            };
            work.insert(path.to_owned(), None);
            work.insert(to, Some((mode, self.blob(&text))));
        }
    }

    /// Rewrites a line of a file that the main line changed since, near to where it did.
    fn collide(&mut self, work: &mut Work, base: &State, tip: &State) {
        let [old, new] = [base, tip].map(|state| self.repository.find_tree(self.tree_of(state.commit)).unwrap());
        let difference = self.repository.diff_tree_to_tree(Some(&old), Some(&new), None).unwrap();
        let changed: Vec<String> = difference
            .deltas()
            .filter(|delta| delta.status() == git2::Delta::Modified)
            .filter_map(|delta| Some(delta.new_file().path()?.to_str()?.to_owned()))
            .collect();
        let Some(path) = self.random.choice(changed) else {
            return;
        };
        let (Some((mode, before)), Some((_, after))) = (self.read(base.commit, &path), self.read(tip.commit, &path))
        else {
            return;
        };
        let same = before
            .lines()
            .zip(after.lines())
            .take_while(|(one, two)| one == two)
            .count();
        let at = (same * 1000).div_ceil(before.lines().count().max(1));
        let text = source::rewritten_near(&mut self.random, &before, at.min(999));
        work.insert(path, Some((mode, self.blob(&text))));
    }

    /// The merge as it is committed: git's where both sides changed a path, with our side of a conflict.
    fn merged(&self, base: &State, tip: &State, theirs: Oid, work: &Work) -> Oid {
        let (base_tree, tip_tree) = (self.tree_of(base.commit), self.tree_of(tip.commit));
        let untouched = work
            .keys()
            .all(|path| self.entry(base_tree, path) == self.entry(tip_tree, path));
        if untouched && tip.paths.is_superset(&base.paths) {
            return self.tree(tip_tree, work);
        }
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.repository.path())
            .args(["merge-tree", "--write-tree", "-X", "ours"])
            .args([tip.commit.to_string(), theirs.to_string()])
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => text.lines().next().unwrap().parse().unwrap(),
            false => tip_tree,
        }
    }

    fn some(&mut self, paths: &BTreeSet<String>) -> String {
        let at = self.random.usize(..paths.len());
        paths.iter().nth(at).unwrap().clone()
    }

    fn entry(&self, tree: Oid, path: &str) -> Option<(i32, Oid)> {
        let tree = self.repository.find_tree(tree).unwrap();
        let entry = tree.get_path(Path::new(path)).ok()?;
        Some((entry.filemode(), entry.id()))
    }

    fn read(&self, commit: Oid, path: &str) -> Option<(FileMode, String)> {
        let (mode, oid) = self.entry(self.tree_of(commit), path)?;
        let mode = match mode {
            0o100_755 => FileMode::BlobExecutable,
            _ => FileMode::Blob,
        };
        let blob = self.repository.find_blob(oid).ok()?;
        Some((mode, String::from_utf8_lossy(blob.content()).into_owned()))
    }

    fn blob(&self, text: &str) -> Oid {
        self.repository.blob(text.as_bytes()).unwrap()
    }

    fn tree_of(&self, commit: Oid) -> Oid {
        self.repository.find_commit(commit).unwrap().tree_id()
    }

    fn tree(&self, from: Oid, work: &Work) -> Oid {
        let from = self.repository.find_tree(from).unwrap();
        let mut update = TreeUpdateBuilder::new();
        for (path, file) in work {
            match file {
                Some((mode, oid)) => drop(update.upsert(path.as_str(), *oid, *mode)),
                None if from.get_path(Path::new(path)).is_ok() => {
                    update.remove(path.as_str());
                }
                None => {}
            }
        }
        update.create_updated(self.repository, &from).unwrap()
    }

    fn commit(&mut self, tree: Oid, parents: &[Oid]) -> Oid {
        self.clock += 60;
        let signature = Signature::new("G", "g@example.org", &Time::new(self.clock, 0)).unwrap();
        let parents: Vec<_> = parents
            .iter()
            .map(|oid| self.repository.find_commit(*oid).unwrap())
            .collect();
        let parents: Vec<_> = parents.iter().collect();
        let tree = self.repository.find_tree(tree).unwrap();
        self.repository
            .commit(None, &signature, &signature, "work\n", &tree, &parents)
            .unwrap()
    }
}
