//! Our merge beside C git's over generated histories: it never differs.

use crate::support::{Fixture, git_in};
use domain::CommitId;
use git::{CleanMerge, MergeEngine, MergeOutcome};
use git2::{Index, IndexEntry, IndexTime, Oid, Repository, Signature, Time};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

const PATHS: [&str; 12] = [
    "a.txt",
    "b.txt",
    "B.txt",
    "d/one.txt",
    "d/two.txt",
    "d/e/three.txt",
    "d/e/four.txt",
    "x/y/five.txt",
    "x/six.txt",
    "odd \"name\"\n.txt",
    "d/.gitattributes",
    "z",
];
const DIRECTORIES: [&str; 5] = ["d", "d/e", "x", "x/y", "new/place"];
const ATTRIBUTES: [&str; 5] = [
    "*.txt merge=union\n",
    "* text=auto\n",
    "d/** -merge\n",
    "*.txt text eol=crlf\n",
    "# nothing\n",
];

type Files = BTreeMap<String, (u32, Vec<u8>)>;

#[derive(Clone, Debug)]
enum Change {
    EditLine(u8, u8, u8),
    InsertLine(u8, u8, u8),
    DeleteLine(u8, u8),
    MoveLines(u8, u8, u8),
    Delete(u8),
    Rename(u8, u8),
    RenameDirectory(u8, u8),
    SwitchMode(u8),
    Add(u8, u8),
    Link(u8, u8),
    LineEnds(u8),
    Binary(u8, u8),
    Empty(u8),
    Attributes(u8),
    Submodule(u8, u8),
    FileToDirectory(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let n = any::<u8>;
    prop_oneof![
        6 => (n(), n(), n()).prop_map(|(a, b, c)| Change::EditLine(a, b, c)),
        4 => (n(), n(), n()).prop_map(|(a, b, c)| Change::InsertLine(a, b, c)),
        2 => (n(), n()).prop_map(|(a, b)| Change::DeleteLine(a, b)),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| Change::MoveLines(a, b, c)),
        2 => n().prop_map(Change::Delete),
        3 => (n(), n()).prop_map(|(a, b)| Change::Rename(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Change::RenameDirectory(a, b)),
        1 => n().prop_map(Change::SwitchMode),
        3 => (n(), n()).prop_map(|(a, b)| Change::Add(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Change::Link(a, b)),
        1 => n().prop_map(Change::LineEnds),
        1 => (n(), n()).prop_map(|(a, b)| Change::Binary(a, b)),
        1 => n().prop_map(Change::Empty),
        1 => n().prop_map(Change::Attributes),
        1 => (n(), n()).prop_map(|(a, b)| Change::Submodule(a, b)),
        1 => n().prop_map(Change::FileToDirectory),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..5)
}

/// Lines of which some repeat, as in code.
fn line(number: u8) -> Vec<u8> {
    match number % 5 {
        0 => b"}\n".to_vec(),
        1 => b"\n".to_vec(),
        _ => format!("statement {number}\n").into_bytes(),
    }
}

fn base_files(seed: u8) -> Files {
    let text = |file: usize| {
        (0..20 + file as u8)
            .flat_map(|number| line(number.wrapping_mul(3).wrapping_add(seed)))
            .collect()
    };
    PATHS[..9]
        .iter()
        .enumerate()
        .filter(|(_, path)| **path != "B.txt")
        .map(|(file, path)| ((*path).to_owned(), (FILE, text(file))))
        .collect()
}

fn apply(files: &mut Files, change: &Change) {
    let names: Vec<String> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let pick = |number: u8| names[usize::from(number) % names.len()].clone();
    let path = |number: u8| PATHS[usize::from(number) % PATHS.len()].to_owned();
    match *change {
        Change::EditLine(file, at, text) => edit(files, &pick(file), |lines| {
            let at = usize::from(at) % lines.len().max(1);
            if let Some(old) = lines.get_mut(at) {
                *old = line(text);
            }
        }),
        Change::InsertLine(file, at, text) => {
            edit(files, &pick(file), |lines| {
                lines.insert(usize::from(at) % (lines.len() + 1), line(text))
            });
        }
        Change::DeleteLine(file, at) => edit(files, &pick(file), |lines| {
            if !lines.is_empty() {
                lines.remove(usize::from(at) % lines.len());
            }
        }),
        Change::MoveLines(file, from, to) => edit(files, &pick(file), |lines| {
            if lines.len() > 4 {
                let from = usize::from(from) % (lines.len() - 3);
                let moved: Vec<_> = lines.drain(from..from + 3).collect();
                let to = usize::from(to) % (lines.len() + 1);
                lines.splice(to..to, moved);
            }
        }),
        Change::Delete(file) => drop(files.remove(&pick(file))),
        Change::Rename(file, to) => {
            if let Some(content) = files.remove(&pick(file)) {
                put(files, path(to), content);
            }
        }
        Change::RenameDirectory(from, to) => {
            let from = format!("{}/", DIRECTORIES[usize::from(from) % DIRECTORIES.len()]);
            let to = DIRECTORIES[usize::from(to) % DIRECTORIES.len()];
            for name in names.iter().filter(|name| name.starts_with(&from)) {
                if let Some(content) = files.remove(name) {
                    put(
                        files,
                        format!("{to}/moved/{}", &name[from.len()..]),
                        content,
                    );
                }
            }
        }
        Change::SwitchMode(file) => {
            if let Some((mode, _)) = files.get_mut(&pick(file)) {
                *mode = if *mode == FILE { EXECUTABLE } else { *mode };
            }
        }
        Change::Add(at, text) => put(
            files,
            path(at),
            (FILE, (0..text % 12).flat_map(line).collect()),
        ),
        Change::Link(file, target) => put(files, pick(file), (SYMLINK, path(target).into_bytes())),
        Change::LineEnds(file) => edit(files, &pick(file), |lines| {
            for line in lines {
                line.pop();
                line.extend_from_slice(b"\r\n");
            }
        }),
        Change::Binary(file, byte) => put(files, pick(file), (FILE, vec![0, byte, 0])),
        Change::Empty(file) => put(files, pick(file), (FILE, Vec::new())),
        Change::Attributes(which) => {
            let rule = ATTRIBUTES[usize::from(which) % ATTRIBUTES.len()];
            put(
                files,
                ".gitattributes".to_owned(),
                (FILE, rule.as_bytes().to_vec()),
            );
        }
        Change::Submodule(at, commit) => put(files, path(at), (SUBMODULE, vec![commit.max(1); 20])),
        Change::FileToDirectory(file) => {
            let name = pick(file);
            if let Some(content) = files.remove(&name) {
                put(files, format!("{name}/inside"), content);
            }
        }
    }
}

fn edit(files: &mut Files, name: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    if let Some((FILE | EXECUTABLE, content)) = files.get_mut(name) {
        let mut lines = content
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        change(&mut lines);
        *content = lines.concat();
    }
}

/// A path can't be a file and a directory: the newcomer wins.
fn put(files: &mut Files, path: String, content: (u32, Vec<u8>)) {
    files.retain(|other, _| {
        !other.starts_with(&format!("{path}/")) && !path.starts_with(&format!("{other}/"))
    });
    files.insert(path, content);
}

struct Writer {
    repository: Repository,
}

impl Writer {
    fn commit(&self, files: &Files, parents: &[&CommitId]) -> CommitId {
        let mut index = Index::new().unwrap();
        for (path, (mode, content)) in files {
            let id = match *mode {
                SUBMODULE => Oid::from_bytes(content).unwrap(),
                _ => self.repository.blob(content).unwrap(),
            };
            index.add(&entry(path, *mode, id)).unwrap();
        }
        let tree = self
            .repository
            .find_tree(index.write_tree_to(&self.repository).unwrap())
            .unwrap();
        let signature = Signature::new("T", "t@example.org", &Time::new(1_700_000_000, 0)).unwrap();
        let find = |id: &&CommitId| {
            self.repository
                .find_commit(Oid::from_str(&id.0).unwrap())
                .unwrap()
        };
        let parents: Vec<_> = parents.iter().map(find).collect();
        let parents: Vec<_> = parents.iter().collect();
        CommitId(
            self.repository
                .commit(None, &signature, &signature, "c", &tree, &parents)
                .unwrap()
                .to_string(),
        )
    }
}

fn entry(path: &str, mode: u32, id: Oid) -> IndexEntry {
    let time = IndexTime::new(0, 0);
    let path = path.as_bytes().to_vec();
    let (dev, ino, uid, gid, file_size, flags, flags_extended) = (0, 0, 0, 0, 0, 0, 0);
    IndexEntry {
        ctime: time,
        mtime: time,
        dev,
        ino,
        mode,
        uid,
        gid,
        file_size,
        id,
        flags,
        flags_extended,
        path,
    }
}

/// What C git answers: the exit status and the tree.
fn reference(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> (i32, String) {
    let attributes = format!("--attr-source={ours}");
    let output = git_in(
        fixture.hub.path(),
        &[
            &attributes,
            "merge-tree",
            "--write-tree",
            "--no-messages",
            "-z",
            &ours.0,
            &theirs.0,
        ],
    );
    let tree = String::from_utf8_lossy(&output.stdout)
        .split('\0')
        .next()
        .unwrap_or_default()
        .to_owned();
    (output.status.code().unwrap(), tree)
}

fn compare(
    fixture: &Fixture,
    ours: &CommitId,
    theirs: &CommitId,
) -> Result<MergeOutcome, TestCaseError> {
    let outcome = fixture.hub.merge(ours, theirs).unwrap();
    let (status, tree) = reference(fixture, ours, theirs);
    match &outcome {
        MergeOutcome::Clean(clean) => prop_assert_eq!((0, &tree), (status, &clean.tree.0)),
        // Its files are git's own, with the base shown, which the reference does not do.
        MergeOutcome::Conflicted(_) => prop_assert_eq!(status, 1),
        MergeOutcome::AlreadyMerged => prop_assert_eq!(status, 0),
        MergeOutcome::NoMergeBase => prop_assert!(status > 1),
    }
    Ok(outcome)
}

fn changed(files: &Files, changes: &[Change]) -> Files {
    let mut files = files.clone();
    changes.iter().for_each(|change| apply(&mut files, change));
    files
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(96)
}

#[test]
fn a_merge_never_differs_from_gits() {
    let fixture = Fixture::new();
    let writer = Writer {
        repository: Repository::open_bare(fixture.hub.path()).unwrap(),
    };
    let [fast, clean, all] = [const { AtomicUsize::new(0) }; 3];
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(seed in any::<u8>(), common in changes(), ours in changes(), theirs in changes(), criss_cross in prop::bool::weighted(0.15))| {
        let base = changed(&base_files(seed % 7), &common[..1]);
        let mut ours_files = changed(&base, &ours);
        let mut theirs_files = changed(&base, &theirs);
        if common.len() > 1 {
            // Both sides make some of the same changes.
            common[1..].iter().for_each(|change| { apply(&mut ours_files, change); apply(&mut theirs_files, change); });
        }
        let base_commit = writer.commit(&base, &[]);
        let mut ours_commit = writer.commit(&ours_files, &[&base_commit]);
        let mut theirs_commit = writer.commit(&theirs_files, &[&base_commit]);
        if criss_cross {
            let (left, right) = (ours_commit, theirs_commit);
            ours_commit = writer.commit(&changed(&ours_files, &theirs), &[&left, &right]);
            theirs_commit = writer.commit(&changed(&theirs_files, &common), &[&right, &left]);
        }
        let outcome = compare(&fixture, &ours_commit, &theirs_commit)?;
        all.fetch_add(1, Ordering::Relaxed);
        clean.fetch_add(usize::from(matches!(outcome, MergeOutcome::Clean(_))), Ordering::Relaxed);
        if matches!(outcome, MergeOutcome::Clean(CleanMerge { engine: MergeEngine::Fast, .. })) {
            fast.fetch_add(1, Ordering::Relaxed);
        }
    });
    let [fast_count, clean_count, all_count] =
        [&fast, &clean, &all].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{all_count} merges, {clean_count} of them clean, {fast_count} of those decided by the fast engine"
    );
    assert!(fast.into_inner() > 0);
}

/// Contents alone, with lines that repeat: where diff algorithms differ most.
#[test]
fn contents_never_merge_differently_from_gits() {
    let fixture = Fixture::new();
    let writer = Writer {
        repository: Repository::open_bare(fixture.hub.path()).unwrap(),
    };
    let fast = AtomicUsize::new(0);
    let lines = || prop::collection::vec(0..9u8, 3..24);
    let edits = || prop::collection::vec((any::<u8>(), 0..3u8, 0..12u8), 1..4);
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(base in lines(), ours in edits(), theirs in edits())| {
        let text = |numbers: &[u8]| numbers.iter().flat_map(|number| format!("{number}\n").into_bytes()).collect::<Vec<u8>>();
        let edited = |edits: &[(u8, u8, u8)]| {
            let mut numbers = base.clone();
            for (at, action, number) in edits {
                let at = usize::from(*at) % numbers.len().max(1);
                match action {
                    0 if numbers.len() > 1 => drop(numbers.remove(at)),
                    1 => numbers.insert(at, *number),
                    _ => numbers[at] = *number,
                }
            }
            numbers
        };
        let file = |content: &[u8]| Files::from([("file".to_owned(), (FILE, text(content)))]);
        let root = writer.commit(&file(&base), &[]);
        let ours = writer.commit(&file(&edited(&ours)), &[&root]);
        let theirs = writer.commit(&file(&edited(&theirs)), &[&root]);
        let outcome = compare(&fixture, &ours, &theirs)?;
        if matches!(outcome, MergeOutcome::Clean(CleanMerge { engine: MergeEngine::Fast, .. })) {
            fast.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(fast.into_inner() > 0);
}
