//! Two machines with a copy each of one hub, which a third place holds.

use crate::support::{Fixture, git_in, make_executable, stamp, write};
use domain::{CommitId, RunId, TaskKey};
use git::{
    GitError, Hub, LandError, Landed, LandingState, PushAccess, Remote, SnapshotRequest, TreeLimits, WorktreeStart,
    refs,
};
use std::{fs, path::PathBuf, thread, time::Duration};

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

    /// A lock file as a push that died in this moment leaves it.
    fn lock(&self, name: &str) {
        write(&self.upstream.join(format!("{name}.lock")), "");
    }

    /// Lets an hour pass for all lock files of the shared hub.
    fn age_locks(&self) {
        let found = std::process::Command::new("find")
            .arg(&self.upstream)
            .args(["-name", "*.lock", "-exec", "touch", "-d", "1 hour ago", "{}", ";"])
            .status();
        assert!(found.unwrap().success());
    }

    /// The commits that the shared hub has for attempts.
    fn snapshots(&self) -> Vec<CommitId> {
        let pattern = format!("refs/orchestrator/{}/attempt/", self.run);
        let found = git_in(&self.upstream, &["for-each-ref", "--format=%(objectname)", &pattern]);
        let text = String::from_utf8(found.stdout).unwrap();
        sorted(&text.lines().map(|line| CommitId(line.to_owned())).collect::<Vec<_>>())
    }

    fn on_top(&self, hub: &Hub, tip: &CommitId, message: &str) -> CommitId {
        let tree = hub.tree_of(tip).unwrap();
        let tip = std::slice::from_ref(tip);
        hub.commit_tree(&tree, tip, &stamp(message)).unwrap()
    }
}

fn sorted<'a>(commits: impl IntoIterator<Item = &'a CommitId>) -> Vec<CommitId> {
    let mut commits: Vec<CommitId> = commits.into_iter().cloned().collect();
    commits.sort_by(|one, other| one.0.cmp(&other.0));
    commits
}

fn remote(path: &std::path::Path) -> Remote {
    Remote::new(&path.display().to_string(), PushAccess::default()).unwrap()
}

#[test]
fn landing_on_one_machine_is_seen_on_the_other() {
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
fn one_of_two_machines_lands_on_a_tip() {
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
    assert_eq!(machines.snapshots(), sorted([&first]));

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

    // The first, whose lease ran out, still writes. Both are kept: which of them counts is not for the hub to say.
    write(&here.join("three.txt"), "three\n");
    let third = snapshot(&machines.first, &here).unwrap().commit;
    assert_eq!(machines.snapshots(), sorted([&second, &third]));
    assert!(machines.first.holds(&first, &third).unwrap());
}

#[test]
fn pruned_run_is_removed_from_the_shared_hub() {
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
fn unreachable_shared_hub_is_named_and_nothing_moves() {
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
fn lock_of_a_crashed_push_does_not_block_a_snapshot() {
    let machines = Machines::new();
    let (key, base) = (TaskKey("one".into()), &machines.fixture.base);
    let place = machines.fixture.place("first");
    machines
        .first
        .add_worktree(&place, &WorktreeStart::At(base.clone()))
        .unwrap();
    let reference = refs::attempt(&machines.run, &key, 1);
    let mut newest = None;
    for text in ["one\n", "two\n", "three\n"] {
        write(&place.join("one.txt"), text);
        let request = SnapshotRequest {
            worktree: &place,
            base,
            reference: &reference,
            stamp: &stamp(text),
            limits: &TreeLimits::default(),
        };
        // Every name that the first push would use is locked, too: the commit is known before it is made.
        let tree = machines.first.worktree_tree(&place, base, request.limits).unwrap();
        let parent = newest.clone().unwrap_or_else(|| base.clone());
        let commit = machines.first.commit_tree(&tree, &[parent], request.stamp).unwrap();
        for name in [reference.clone(), format!("{reference}-{commit}")] {
            machines.lock(&name);
        }
        machines.lock("packed-refs");
        let taken = machines.first.snapshot(&request).unwrap().commit;
        assert_eq!(taken, commit);
        newest = Some(taken);
    }
    let of_task = refs::all_of_task(&machines.run, &key);
    machines.second.follow(&of_task.each_ref().map(String::as_str)).unwrap();
    assert!(machines.second.tree_of(&newest.unwrap()).is_ok());
}

#[test]
fn lock_of_a_crashed_push_does_not_block_pins_and_offers() {
    let machines = Machines::new();
    let (key, base) = (TaskKey("one".into()), &machines.fixture.base);
    let next = machines.on_top(&machines.first, base, "next");
    let submission = refs::submission(&machines.run, &key, &next);
    machines.lock(&submission);
    machines.first.pin(&submission, &next).unwrap();
    machines.first.pin(&submission, &next).unwrap();
    machines.second.follow_fixed(&submission).unwrap();
    assert!(machines.second.tree_of(&next).is_ok());

    let merged = machines.on_top(&machines.first, &next, "merged");
    let candidate = refs::candidate(&machines.run, &key, &merged);
    machines.lock(&candidate);
    machines.first.offer(&[(candidate.clone(), merged.clone())]).unwrap();
    machines.second.follow_fixed(&candidate).unwrap();
    assert!(machines.second.tree_of(&merged).is_ok());

    // And all of it goes with the run, once the lock files are old.
    machines.age_locks();
    let held = machines.first.references_of(&machines.run).unwrap();
    machines.first.give_up(&machines.run, &held).unwrap();
    let left = git_in(&machines.upstream, &["for-each-ref"]);
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn branch_lands_once_no_process_can_be_moving_it() {
    let machines = Machines::new();
    let base = &machines.fixture.base;
    let next = machines.on_top(&machines.first, base, "next");
    let durable = machines.first.make_durable(&next).unwrap();
    let land = || machines.first.land(&machines.branch, base, &durable);
    for locked in [machines.branch.as_str(), "packed-refs", "HEAD"] {
        machines.lock(locked);
    }
    let error = land().unwrap_err();
    assert!(
        error.to_string().contains("the hub's administrator removes it"),
        "{error}"
    );
    assert!(
        matches!(error, LandError::Git(GitError::UpstreamLocked { .. })),
        "it may be somebody's who pushes by hand: {error:?}"
    );
    machines.age_locks();
    assert_eq!(land().unwrap(), Landed::Moved);
    assert_eq!(machines.upstream_tip(&machines.branch), Some(next));
}

#[test]
fn lock_stays_while_any_push_is_under_way() {
    let machines = Machines::new();
    let (run, first) = (&machines.run, &machines.first);
    let base = &machines.fixture.base;
    let next = machines.on_top(first, base, "next");
    // The push of another branch stands in a hook of the shared hub.
    let (entered, go) = (machines.upstream.join("entered"), machines.upstream.join("go"));
    let hook = machines.upstream.join("hooks/update");
    let script = format!(
        "#!/bin/sh\ncase $1 in */submission/*) touch {e}; until test -e {g}; do sleep 0.05; done;; esac\n",
        e = entered.display(),
        g = go.display()
    );
    write(&hook, &script);
    make_executable(&hook);
    thread::scope(|scope| {
        let reference = refs::submission(run, &TaskKey("one".into()), &next);
        let (pinned, next) = (reference, next.clone());
        let slow = scope.spawn(move || first.pin(&pinned, &next));
        while !entered.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        machines.lock(&machines.branch);
        machines.age_locks();
        let ours = machines.second.tip(&machines.branch).unwrap().unwrap();
        let ours = machines.on_top(&machines.second, &ours, "ours");
        let advance = || machines.second.advance(&machines.branch, Some(base), &ours);
        let error = advance().unwrap_err();
        assert!(matches!(error, GitError::UpstreamLocked { .. }), "{error:?}");
        fs::write(&go, "").unwrap();
        slow.join().unwrap().unwrap();
        advance().unwrap();
    });
}
