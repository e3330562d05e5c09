//! The fast engine beside C git, over many merges: one process answers for thousands.
//!
//! `GIT_DIFFERENTIAL_CASES` says how many merges of each kind; the default keeps the suite quick.

use crate::{
    ids::commit_id,
    merge::{MergeOutcome, fast::GaveUp, fast_outcome},
    merge_audit,
    process::isolated,
};
use fastrand::Rng;
use git2::{Config, Oid, Repository};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use std::{collections::BTreeMap, io::Write, ops::ControlFlow, process::Stdio};
use tempfile::TempDir;

#[path = "../../tests/generate/ordinary.rs"]
mod ordinary;
#[path = "../../tests/generate/rough.rs"]
mod rough;
#[path = "../../tests/generate/source.rs"]
mod source;

use ordinary::Shape;
use rough::{FILE, Files};

/// The merges that one temporary repository holds.
const BATCH: usize = 1_000;
/// The files of one merge whose contents alone are compared.
const FILES: usize = 200;

fn cases(default: usize) -> usize {
    std::env::var("GIT_DIFFERENTIAL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

struct Bench {
    directory: TempDir,
    repository: Repository,
}

impl Bench {
    fn new() -> Self {
        // Thousands of small files that nobody keeps: in memory, where there is such a place.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let directory = directory.unwrap();
        let repository = Repository::init_bare(directory.path()).unwrap();
        repository.set_config(&Config::new().unwrap()).unwrap();
        Self { directory, repository }
    }

    /// What C git makes of some merges; `None` for one at which it crashes. The attributes are read from the first of
    /// ours: all must have the same.
    fn git(&self, merges: &[[Oid; 2]]) -> Vec<Option<Answer>> {
        match (self.answers(merges), merges) {
            (Some(answers), _) => answers.into_iter().map(Some).collect(),
            (None, [_]) => vec![None],
            // A crash takes the answers of the whole process along.
            (None, merges) => {
                let (one, two) = merges.split_at(merges.len() / 2);
                [self.git(one), self.git(two)].into_iter().flatten().collect()
            }
        }
    }

    fn answers(&self, merges: &[[Oid; 2]]) -> Option<Vec<Answer>> {
        let mut child = isolated("git")
            .arg("--git-dir")
            .arg(self.directory.path())
            .args(["merge-tree", "--write-tree", "--stdin"])
            .args(["--no-messages", "--name-only"])
            .env("GIT_ATTR_SOURCE", merges[0][0].to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let pairs: String = merges
            .iter()
            .map(|[ours, theirs]| format!("{ours} {theirs}\n"))
            .collect();
        // A crash closes the pipe: the exit status shows it.
        let writer = std::thread::spawn(move || input.write_all(pairs.as_bytes()).ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        if !output.status.success() {
            return None;
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let mut fields = text.split('\0').map(str::to_owned);
        let answers = merges.iter().map(|_| Answer {
            clean: fields.next().unwrap() == "1",
            tree: fields.next().unwrap(),
            conflicts: fields.by_ref().take_while(|name| !name.is_empty()).collect(),
        });
        Some(answers.collect())
    }
}

struct Answer {
    clean: bool,
    tree: String,
    conflicts: Vec<String>,
}

#[derive(Default)]
struct Counts {
    merges: usize,
    clean: usize,
    decided: usize,
    /// Where git crashes, nothing can be compared.
    crashed: usize,
    /// Clean for git, but left to it.
    left: BTreeMap<GaveUp, usize>,
}

impl Counts {
    /// Compares one merge; panics on the first that differs.
    fn compare(&mut self, bench: &Bench, [ours, theirs]: [Oid; 2], answer: Option<Answer>) {
        self.merges += 1;
        let Some(Answer { clean, tree, .. }) = answer else {
            self.crashed += 1;
            return;
        };
        self.clean += usize::from(clean);
        let [ours_id, theirs_id] = [ours, theirs].map(commit_id);
        let decided = match fast_outcome(&bench.repository, &ours_id, &theirs_id).unwrap() {
            Ok(MergeOutcome::Clean(merge)) => merge.tree.0,
            Ok(MergeOutcome::AlreadyMerged) => {
                let commit = bench.repository.find_commit(ours).unwrap();
                commit.tree_id().to_string()
            }
            Ok(other) => panic!("{ours} and {theirs}: {other:?}"),
            Err(reason) => {
                if clean {
                    *self.left.entry(reason).or_default() += 1;
                }
                return;
            }
        };
        self.decided += 1;
        assert!(clean, "{ours} and {theirs}: git has a conflict");
        assert_eq!(decided, tree, "{ours} and {theirs}: another clean tree");
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} merges, {} clean, {} decided, 0 wrong, {} crash git; clean but left to git: {:?}",
            self.merges, self.clean, self.decided, self.crashed, self.left
        );
    }
}

#[test]
fn rough_merges_never_differ_from_gits() {
    let mut random = Rng::with_seed(11);
    let mut changes = TestRunner::deterministic();
    let mut counts = Counts::default();
    let all = cases(1_000);
    while counts.merges < all {
        let bench = Bench::new();
        // Merges by what the attribute files of our side say: git reads one such set a process.
        let mut groups: BTreeMap<Files, Vec<[Oid; 2]>> = BTreeMap::new();
        for _ in 0..BATCH.min(all - counts.merges) {
            let (attributes, merge) = rough_merge(&bench.repository, &mut random, &mut changes);
            groups.entry(attributes).or_default().push(merge);
        }
        for merges in groups.values() {
            for (merge, answer) in merges.iter().zip(bench.git(merges)) {
                counts.compare(&bench, *merge, answer);
            }
        }
    }
    counts.print("rough");
    assert!(counts.decided * 3 > counts.clean);
}

fn rough_merge(repository: &Repository, random: &mut Rng, runner: &mut TestRunner) -> (Files, [Oid; 2]) {
    let mut changes = || rough::changes().new_tree(runner).unwrap().current();
    let root = rough::base_files(random.u8(..7));
    let first = changes();
    let base = rough::changed(&root, &first[..1]);
    let (our_changes, their_changes) = (changes(), changes());
    // In every third, both sides make some of the same changes too.
    let common = match random.u8(..3) {
        0 => changes(),
        _ => Vec::new(),
    };
    let mut ours = rough::changed(&rough::changed(&base, &our_changes), &common);
    let theirs = rough::changed(&rough::changed(&base, &their_changes), &common);
    let base_commit = rough::commit(repository, &base, &[]);
    let mut merge = [&ours, &theirs].map(|files| rough::commit(repository, files, &[base_commit]));
    if random.u8(..12) == 0 {
        // A criss-cross: two best common ancestors.
        let [left, right] = merge;
        let next = rough::changed(&theirs, &first);
        ours = rough::changed(&ours, &their_changes);
        merge = [
            rough::commit(repository, &ours, &[left, right]),
            rough::commit(repository, &next, &[right, left]),
        ];
    }
    ours.retain(|path, _| path.ends_with(".gitattributes"));
    (ours, merge)
}

#[test]
fn contents_never_merge_differently_from_gits() {
    let mut random = Rng::with_seed(12);
    let (mut files, mut clean_files) = (0, 0);
    let all = cases(4_000);
    while files < all {
        let bench = Bench::new();
        let [mut base, mut ours, mut theirs] = [const { Files::new() }; 3];
        for number in 0..FILES {
            let versions = match random.bool() {
                true => source_versions(&mut random),
                false => dense_versions(&mut random),
            };
            for (files, text) in [&mut base, &mut ours, &mut theirs].into_iter().zip(versions) {
                files.insert(format!("file-{number}"), (FILE, text.into_bytes()));
            }
        }
        let root = rough::commit(&bench.repository, &base, &[]);
        let merge = [&ours, &theirs].map(|files| rough::commit(&bench.repository, files, &[root]));
        let Answer { tree, conflicts, .. } = bench.git(&[merge]).remove(0).unwrap();
        let tree = bench.repository.find_tree(tree.parse().unwrap()).unwrap();
        for (name, (_, before)) in &base {
            files += 1;
            let merged = crate::merge::content::merge(before, &ours[name].1, &theirs[name].1);
            let versions = || [before, &ours[name].1, &theirs[name].1].map(|text| String::from_utf8_lossy(text));
            match (merged, conflicts.contains(name)) {
                (crate::merge::content::Merged::Clean(merged), false) => {
                    clean_files += 1;
                    let gits = tree.get_name(name).unwrap().id();
                    let gits = bench.repository.find_blob(gits).unwrap();
                    assert!(merged == gits.content(), "another text: {:?}", versions());
                }
                (crate::merge::content::Merged::Conflict, true) => {}
                (found, conflict) => {
                    panic!("{found:?}, git's conflict {conflict}: {:?}", versions())
                }
            }
        }
    }
    println!("contents: {files} files, {clean_files} clean, 0 differ");
}

/// Both sides edit source code.
fn source_versions(random: &mut Rng) -> [String; 3] {
    let functions = random.usize(1..10);
    let base = source::file(random, functions);
    let (ours, theirs) = (source::edited(random, &base), source::edited(random, &base));
    [base, ours, theirs]
}

/// Few words in few lines: everything repeats, and diff algorithms differ most.
fn dense_versions(random: &mut Rng) -> [String; 3] {
    let words = random.usize(2..9);
    let mut base: Vec<usize> = (0..random.usize(3..40)).map(|_| random.usize(..words)).collect();
    if random.u8(..40) == 0 {
        // So many of one line that the histogram diff falls back to another.
        base.extend(std::iter::repeat_n(0, 80));
    }
    let edited = |random: &mut Rng| {
        let mut lines = base.clone();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..=lines.len());
            match random.u8(..4) {
                0 if at < lines.len() => lines[at] = random.usize(..words + 2),
                1 if at < lines.len() => drop(lines.drain(at..(at + random.usize(1..4)).min(lines.len()))),
                2 => {
                    let copied = lines[..at.min(4)].to_vec();
                    let to = random.usize(..=lines.len());
                    lines.splice(to..to, copied);
                }
                _ => lines.insert(at, random.usize(..words + 2)),
            }
        }
        lines
    };
    let (ours, theirs) = (edited(random), edited(random));
    let mut text = |lines: &[usize]| {
        let mut text: String = lines.iter().map(|word| format!("word {word}\n")).collect();
        if random.u8(..10) == 0 {
            text.pop();
        }
        text
    };
    [text(&base), text(&ours), text(&theirs)]
}

#[test]
fn ordinary_histories_are_decided_and_never_differ_from_gits() {
    let mut done = 0;
    let all = cases(150);
    for seed in 1.. {
        let bench = Bench::new();
        let merges = (all - done).min(BATCH);
        let shape = Shape {
            files: 300,
            merges,
            seed,
        };
        ordinary::generate(&bench.repository, shape);
        let report = merge_audit(bench.directory.path(), None, &mut |_, _| ControlFlow::Continue(())).unwrap();
        println!("{report:?}");
        assert_eq!(report.merges, merges);
        assert_eq!((report.wrong, report.false_conflict, report.unreadable), (0, 0, 0));
        assert!(report.clean_decided * 100 >= report.clean * 95);
        done += merges;
        if done >= all {
            break;
        }
    }
}
