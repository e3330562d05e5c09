//! Two machines with a copy each of one hub, which a third place holds.

use crate::support::{Fixture, git_in, make_executable, stamp, write};
use domain::{CommitId, Fence, RunId, TaskKey};
use git::{
    GitError, Hub, LandError, Landed, LandingLock, LandingState, PushAccess, Remote, SnapshotError, SnapshotRequest,
    TreeLimits, WorktreeStart, refs,
};
use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, SystemTime},
};

struct Machines {
    fixture: Fixture,
    upstream: PathBuf,
    run: RunId,
    branch: String,
    /// Has the workspace.
    first: Hub,
    /// Knows the address alone.
    second: Hub,
}

impl Machines {
    fn new() -> Self {
        let fixture = Fixture::new();
        let upstream = fixture.directory.path().join("shared/api.git");
        let run = RunId::new();
        let branch = refs::integration(&run);
        let first = Hub::open(fixture.hub.path()).unwrap().with_upstream(remote(&upstream));
        first.make_upstream().unwrap();
        first.make_upstream().unwrap();
        first.pin(&refs::base(&run), &fixture.base).unwrap();
        first.create_branch(&branch, &fixture.base).unwrap();
        let second = fixture.directory.path().join("second/hub");
        let second = Hub::open_copy(&second, remote(&upstream)).unwrap();
        Self {
            fixture,
            upstream,
            run,
            branch,
            first,
            second,
        }
    }

    fn upstream_tip(&self, reference: &str) -> Option<CommitId> {
        let found = git_in(&self.upstream, &["rev-parse", "-q", "--verify", reference]);
        let text = String::from_utf8(found.stdout).unwrap();
        found.status.success().then(|| CommitId(text.trim().to_owned()))
    }

    fn on_top(&self, hub: &Hub, tip: &CommitId, message: &str) -> CommitId {
        let tree = hub.tree_of(tip).unwrap();
        let tip = std::slice::from_ref(tip);
        hub.commit_tree(&tree, tip, &stamp(message)).unwrap()
    }
}

fn remote(path: &std::path::Path) -> Remote {
    Remote::new(&path.display().to_string(), PushAccess::default()).unwrap()
}

#[test]
fn what_one_machine_lands_the_other_finds() {
    let machines = Machines::new();
    let (first, second, base) = (&machines.first, &machines.second, &machines.fixture.base);
    assert_eq!(second.tip(&machines.branch).unwrap().as_ref(), Some(base));
    let next = machines.on_top(second, base, "next");
    assert_eq!(
        first.landing_state(&machines.branch, base, &next).unwrap(),
        LandingState::NotYet
    );
    let durable = second.make_durable(&next).unwrap();
    assert_eq!(second.land(&machines.branch, base, &durable).unwrap(), Landed::Moved);
    assert_eq!(second.land(&machines.branch, base, &durable).unwrap(), Landed::Already);
    assert_eq!(machines.upstream_tip(&machines.branch), Some(next.clone()));
    assert_eq!(first.tip(&machines.branch).unwrap(), Some(next.clone()));
    assert_eq!(
        first.landing_state(&machines.branch, base, &next).unwrap(),
        LandingState::Landed
    );
    assert_eq!(first.tree_of(&next).unwrap(), first.tree_of(base).unwrap());
}

#[test]
fn of_two_machines_that_land_on_one_tip_one_does() {
    let machines = Machines::new();
    let base = &machines.fixture.base;
    machines.second.follow(&[&machines.branch]).unwrap();
    let landed: Vec<bool> = thread::scope(|scope| {
        let landing = [(&machines.first, "first"), (&machines.second, "second")].map(|(hub, name)| {
            let machines = &machines;
            scope.spawn(move || {
                let next = hub.make_durable(&machines.on_top(hub, base, name)).unwrap();
                match hub.land(&machines.branch, base, &next) {
                    Ok(landed) => landed == Landed::Moved,
                    Err(LandError::Moved { found, .. }) => {
                        // Its copy holds what the other landed.
                        assert_eq!(hub.tip(&machines.branch).unwrap(), found);
                        assert!(hub.tree_of(&found.unwrap()).is_ok());
                        false
                    }
                    Err(error) => panic!("{error}"),
                }
            })
        });
        landing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(landed.iter().filter(|landed| **landed).count(), 1, "{landed:?}");
}

#[test]
fn a_branch_that_someone_moved_in_the_shared_hub_is_never_forced() {
    let machines = Machines::new();
    let base = &machines.fixture.base;
    let theirs = machines.on_top(&machines.first, base, "theirs");
    machines.first.advance(&machines.branch, Some(base), &theirs).unwrap();
    machines.second.follow(&[&refs::base(&machines.run)]).unwrap();
    let ours = machines.on_top(&machines.second, base, "ours");
    let ours = machines.second.make_durable(&ours).unwrap();
    let error = machines.second.land(&machines.branch, base, &ours).unwrap_err();
    assert!(
        matches!(&error, LandError::Moved { found: Some(found), .. } if *found == theirs),
        "{error}"
    );
    let state = machines.second.landing_state(&machines.branch, base, ours.commit());
    assert_eq!(
        state.unwrap(),
        LandingState::Moved {
            found: Some(theirs.clone())
        }
    );
    assert_eq!(machines.upstream_tip(&machines.branch), Some(theirs));
}

#[test]
fn an_attempt_goes_on_from_a_snapshot_of_another_machine() {
    let machines = Machines::new();
    let (key, base) = (TaskKey("one".into()), &machines.fixture.base);
    let reference = refs::attempt(&machines.run, &key, 1);
    let snapshot = |hub: &Hub, place: &PathBuf| {
        hub.snapshot(&SnapshotRequest {
            worktree: place,
            base,
            reference: &reference,
            stamp: &stamp("turn"),
            limits: &TreeLimits::default(),
        })
    };
    let here = machines.fixture.place("first");
    machines
        .first
        .add_worktree(&here, &WorktreeStart::At(base.clone()))
        .unwrap();
    write(&here.join("one.txt"), "one\n");
    let first = snapshot(&machines.first, &here).unwrap().commit;
    assert_eq!(machines.upstream_tip(&reference), Some(first.clone()));

    let of_task = refs::all_of_task(&machines.run, &key);
    let of_task = of_task.each_ref().map(String::as_str);
    machines
        .second
        .follow(&[&machines.branch, of_task[0], of_task[1]])
        .unwrap();
    let there = machines.fixture.directory.path().join("second/worktree");
    let start = WorktreeStart::Carrying {
        head: base.clone(),
        tree: machines.second.tree_of(&first).unwrap(),
    };
    machines.second.add_worktree(&there, &start).unwrap();
    assert_eq!(fs::read_to_string(there.join("one.txt")).unwrap(), "one\n");
    write(&there.join("two.txt"), "two\n");
    let second = snapshot(&machines.second, &there).unwrap().commit;

    // The first, whose lease ran out, still writes: it is told, and then stands on what the other did. Nothing is lost.
    write(&here.join("three.txt"), "three\n");
    match snapshot(&machines.first, &here) {
        Err(SnapshotError::Git(GitError::Moved { found, .. })) => assert_eq!(found, Some(second.clone())),
        other => panic!("{other:?}"),
    }
    let third = snapshot(&machines.first, &here).unwrap().commit;
    assert!(machines.first.is_ancestor(&second, &third).unwrap());
}

#[test]
fn a_run_that_is_given_up_is_gone_from_the_shared_hub_too() {
    let machines = Machines::new();
    let (first, second, base) = (&machines.first, &machines.second, &machines.fixture.base);
    let submitted = refs::submission(&machines.run, &TaskKey("one".into()), base);
    second.follow(&[&machines.branch]).unwrap();
    second.pin(&submitted, base).unwrap();
    let other = refs::base(&RunId::new());
    first.pin(&other, base).unwrap();
    let held = first.references_of(&machines.run).unwrap();
    assert_eq!(held.len(), 2, "what the other pinned is not here: {held:?}");
    first.give_up(&machines.run, &held).unwrap();
    for gone in [&machines.branch, &submitted, &refs::base(&machines.run)] {
        assert_eq!(machines.upstream_tip(gone), None, "{gone}");
    }
    assert_eq!(machines.upstream_tip(&other).as_ref(), Some(base));
    assert!(first.references_of(&machines.run).unwrap().is_empty());
    // The other machine's turn comes.
    second
        .give_up(&machines.run, &second.references_of(&machines.run).unwrap())
        .unwrap();
    assert!(second.references_of(&machines.run).unwrap().is_empty());
    first.give_up(&machines.run, &[]).unwrap();
}

#[test]
fn a_shared_hub_that_is_away_or_refuses_is_named_and_nothing_moves() {
    let machines = Machines::new();
    let base = &machines.fixture.base;
    let next = machines.on_top(&machines.first, base, "next");
    let hook = machines.upstream.join("hooks/update");
    write(&hook, "#!/bin/sh\necho 'closed for today' >&2\nexit 1\n");
    make_executable(&hook);
    let refused = machines.first.advance(&machines.branch, Some(base), &next).unwrap_err();
    assert!(refused.to_string().contains("closed for today"), "{refused}");
    fs::rename(&machines.upstream, machines.upstream.with_extension("away")).unwrap();
    for error in [
        machines.first.tip(&machines.branch).unwrap_err(),
        machines.first.advance(&machines.branch, Some(base), &next).unwrap_err(),
        machines.second.follow(&[&machines.branch]).unwrap_err(),
    ] {
        assert!(matches!(error, GitError::Upstream { .. }), "{error}");
        assert!(error.to_string().contains("api.git"), "{error}");
    }
    fs::rename(machines.upstream.with_extension("away"), &machines.upstream).unwrap();
    assert_eq!(machines.first.tip(&machines.branch).unwrap().as_ref(), Some(base));
}

#[test]
fn a_lock_that_a_crash_left_in_a_mounted_hub_goes_once_it_is_older_than_any_push() {
    let machines = Machines::new();
    let base = &machines.fixture.base;
    let next = machines.on_top(&machines.first, base, "next");
    let lock = machines.upstream.join(format!("{}.lock", machines.branch));
    fs::write(&lock, "").unwrap();
    let land = || machines.first.advance(&machines.branch, Some(base), &next);
    let clear = || {
        let held = LandingLock::held_under(Fence(1));
        machines
            .first
            .remove_stale_lock(&machines.branch, &held, Duration::ZERO)
    };
    let error = land().unwrap_err();
    assert!(error.to_string().contains("the lock file is a crash's"), "{error}");
    clear().unwrap();
    assert!(lock.exists(), "a push may be under way");
    let old = SystemTime::now() - Duration::from_secs(3_600);
    fs::File::options()
        .write(true)
        .open(&lock)
        .unwrap()
        .set_modified(old)
        .unwrap();
    clear().unwrap();
    land().unwrap();
    assert_eq!(machines.upstream_tip(&machines.branch), Some(next.clone()));
}
