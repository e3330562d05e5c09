use crate::support::{Fixture, git_in, stamp, write};
use domain::{CommitId, RunId, TaskKey};
use git::{Hub, SnapshotRequest, TreeLimits, WorktreeStart, refs};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// An attempt whose snapshots are chained under its reference.
struct Attempt {
    run: RunId,
    place: PathBuf,
    reference: String,
}

impl Attempt {
    fn new(fixture: &Fixture) -> Self {
        let run = RunId::new();
        let place = fixture.place(&format!("{run}"));
        let start = WorktreeStart::At(fixture.base.clone());
        fixture.hub.add_worktree(&place, &start).unwrap();
        let reference = refs::attempt(&run, &TaskKey("long".into()), 1);
        Self { run, place, reference }
    }

    fn snapshot(&self, fixture: &Fixture, text: &str) -> CommitId {
        write(&self.place.join("src/grown.txt"), text.repeat(50));
        let request = SnapshotRequest {
            worktree: &self.place,
            base: &fixture.base,
            reference: &self.reference,
            stamp: &stamp("turn"),
            limits: &TreeLimits::default(),
        };
        fixture.hub.snapshot(&request).unwrap().commit
    }

    fn references(&self, hub: &Hub) -> Vec<(String, CommitId)> {
        hub.references(&refs::all_of(&self.run)).unwrap()
    }

    fn give_up(&self, hub: &Hub) {
        for (reference, at) in self.references(hub) {
            hub.unpin(&reference, &at).unwrap();
        }
    }
}

/// Makes every loose object look as if it had been written days ago.
fn age(hub: &Hub) {
    let long_ago = SystemTime::now() - 100 * HOUR;
    for path in loose(hub) {
        // Somebody else may have pruned it meanwhile.
        if let Ok(file) = fs::File::open(&path) {
            file.set_modified(long_ago).unwrap();
        }
    }
}

fn loose(hub: &Hub) -> Vec<PathBuf> {
    let entries = |path: PathBuf| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
    };
    entries(hub.path().join("objects"))
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 2))
        .flat_map(entries)
        .collect()
}

fn is_whole(hub: &Hub, commit: &CommitId) -> bool {
    git_in(hub.path(), &["rev-list", "--objects", &commit.0])
        .status
        .success()
}

#[test]
fn only_objects_of_the_ended_run_are_pruned() {
    let fixture = Fixture::new();
    let (kept, given_up) = (Attempt::new(&fixture), Attempt::new(&fixture));
    let mut tips = (fixture.base.clone(), fixture.base.clone());
    for number in 0..40 {
        tips = (
            kept.snapshot(&fixture, &format!("kept {number}\n")),
            given_up.snapshot(&fixture, &format!("given up {number}\n")),
        );
    }
    fixture.hub.remove_worktree(&given_up.place).unwrap();
    let mut runs = [kept.run, given_up.run];
    runs.sort_unstable();
    assert_eq!(fixture.hub.runs_with_references().unwrap(), runs);
    let held = fixture.hub.bytes_held_by(&given_up.references(&fixture.hub)).unwrap();
    assert!(held > 1_000, "{held}");
    // Asking changed nothing.
    assert!(is_whole(&fixture.hub, &tips.1));

    given_up.give_up(&fixture.hub);
    age(&fixture.hub);
    let before = loose(&fixture.hub).len();
    let prunable = fixture.hub.prunable(HOUR).unwrap();
    assert_eq!(prunable.bytes, held, "what was held is what comes free");
    assert_eq!(loose(&fixture.hub).len(), before, "asking changed nothing");
    assert_eq!(fixture.hub.prune(HOUR).unwrap(), prunable);
    // A commit, a blob and two trees for each snapshot.
    assert_eq!(before - loose(&fixture.hub).len(), 40 * 4);
    assert!(is_whole(&fixture.hub, &tips.0) && !is_whole(&fixture.hub, &tips.1));
    assert_eq!(fixture.hub.runs_with_references().unwrap(), [kept.run]);
    // Twice: there is nothing left to do.
    let left = loose(&fixture.hub).len();
    given_up.give_up(&fixture.hub);
    fixture.hub.prune(HOUR).unwrap();
    assert_eq!(loose(&fixture.hub).len(), left);
}

#[test]
fn young_objects_and_what_they_refer_to_stay() {
    let fixture = Fixture::new();
    let attempt = Attempt::new(&fixture);
    let old = attempt.snapshot(&fixture, "old\n");
    fixture.hub.remove_worktree(&attempt.place).unwrap();
    attempt.give_up(&fixture.hub);
    age(&fixture.hub);
    // Written by a living worker, and not named by any reference yet.
    let tree = fixture.hub.tree_of(&old).unwrap();
    let young = fixture.hub.commit_tree(&tree, &[old], &stamp("young")).unwrap();
    fixture.hub.prune(HOUR).unwrap();
    assert!(is_whole(&fixture.hub, &young));
}

#[test]
fn head_of_a_worktree_is_kept() {
    let fixture = Fixture::new();
    let attempt = Attempt::new(&fixture);
    let tip = attempt.snapshot(&fixture, "worked\n");
    let place = fixture.place("second");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(tip.clone()))
        .unwrap();
    attempt.give_up(&fixture.hub);
    age(&fixture.hub);
    fixture.hub.prune(HOUR).unwrap();
    assert!(is_whole(&fixture.hub, &tip));
}

#[test]
fn a_worker_that_writes_while_it_is_pruned_loses_nothing() {
    let fixture = Fixture::new();
    let mut tips = Vec::new();
    for round in 0..40 {
        // An ended run left these contents behind, long ago, and a living one is about to write the very same.
        let same = |number: usize| format!("round {round}, snapshot {number}\n");
        let ended = Attempt::new(&fixture);
        (0..3).for_each(|number| drop(ended.snapshot(&fixture, &same(number))));
        fixture.hub.remove_worktree(&ended.place).unwrap();
        ended.give_up(&fixture.hub);
        age(&fixture.hub);
        let living = Attempt::new(&fixture);
        let tip = std::thread::scope(|scope| {
            let pruning = scope.spawn(|| fixture.hub.prune(HOUR).unwrap());
            let mut tip = None;
            for number in 0..3 {
                tip = Some(living.snapshot(&fixture, &same(number)));
            }
            pruning.join().unwrap();
            tip.unwrap()
        });
        assert!(is_whole(&fixture.hub, &tip), "round {round}: lost under its reference");
        fixture.hub.remove_worktree(&living.place).unwrap();
        tips.push(tip);
    }
    fixture.hub.prune(HOUR).unwrap();
    for tip in tips {
        assert!(is_whole(&fixture.hub, &tip), "{tip}");
    }
}
