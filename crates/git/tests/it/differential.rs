//! Our merge beside C git's over generated histories: it never differs.

use crate::rough::{self, FILE, Files, base_files, changed, changes};
use crate::support::{Fixture, git_in};
use domain::CommitId;
use git::{CleanMerge, MergeEngine, MergeOutcome};
use git2::{Oid, Repository};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Writer {
    repository: Repository,
}

impl Writer {
    fn commit(&self, files: &Files, parents: &[&CommitId]) -> CommitId {
        let parents: Vec<Oid> = parents.iter().map(|parent| parent.0.parse().unwrap()).collect();
        CommitId(rough::commit(&self.repository, files, &parents).to_string())
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

fn compare(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> Result<MergeOutcome, TestCaseError> {
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

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64)
}

#[test]
fn a_merge_never_differs_from_gits() {
    let fixture = Fixture::in_memory();
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
            ours_files = changed(&ours_files, &common[1..]);
            theirs_files = changed(&theirs_files, &common[1..]);
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
    let [fast_count, clean_count, all_count] = [&fast, &clean, &all].map(|count| count.load(Ordering::Relaxed));
    println!("{all_count} merges, {clean_count} of them clean, {fast_count} of those decided by the fast engine");
    assert!(fast.into_inner() > 0);
}

/// Contents alone, with lines that repeat: where diff algorithms differ most.
#[test]
fn contents_never_merge_differently_from_gits() {
    let fixture = Fixture::in_memory();
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
