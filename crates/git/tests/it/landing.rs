use crate::support::{Fixture, git_in, stamp, write};
use domain::{CommitId, RunId};
use git::{Hub, LandError, Landed, LandingLock, LandingState, StaleLock, refs};
use std::{
    fs::{self, File},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

fn on_top(hub: &Hub, tip: &CommitId, message: &str) -> CommitId {
    let tree = hub.tree_of(tip).unwrap();
    hub.commit_tree(&tree, std::slice::from_ref(tip), &stamp(message))
        .unwrap()
}

/// The test is alone.
struct Held;

impl LandingLock for Held {}

#[test]
fn landing_moves_the_branch_once() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    let next = on_top(&fixture.hub, &fixture.base, "next");
    assert_eq!(
        fixture.hub.landing_state(&branch, &fixture.base, &next).unwrap(),
        LandingState::NotYet
    );
    let durable = fixture.hub.make_durable(&next).unwrap();
    assert_eq!(
        fixture.hub.land(&branch, &fixture.base, &durable).unwrap(),
        Landed::Moved
    );
    assert_eq!(
        fixture.hub.land(&branch, &fixture.base, &durable).unwrap(),
        Landed::Already
    );
    assert_eq!(
        fixture.hub.landing_state(&branch, &fixture.base, &next).unwrap(),
        LandingState::Landed
    );
    let beyond = on_top(&fixture.hub, &next, "beyond");
    fixture.hub.advance(&branch, Some(&next), &beyond).unwrap();
    assert_eq!(
        fixture.hub.landing_state(&branch, &fixture.base, &next).unwrap(),
        LandingState::Landed
    );
}

#[test]
fn a_branch_that_someone_else_moved_is_left_alone() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    let ours = fixture
        .hub
        .make_durable(&on_top(&fixture.hub, &fixture.base, "ours"))
        .unwrap();
    let theirs = on_top(&fixture.hub, &fixture.base, "theirs");
    fixture.hub.advance(&branch, Some(&fixture.base), &theirs).unwrap();
    let error = fixture.hub.land(&branch, &fixture.base, &ours).unwrap_err();
    assert!(
        matches!(&error, LandError::Moved { found: Some(found), .. } if *found == theirs),
        "{error}"
    );
    let state = fixture
        .hub
        .landing_state(&branch, &fixture.base, ours.commit())
        .unwrap();
    assert_eq!(state, LandingState::Moved { found: Some(theirs) });
    let error = fixture.hub.land("refs/heads/absent", &fixture.base, &ours).unwrap_err();
    assert!(matches!(error, LandError::Moved { found: None, .. }), "{error}");
}

/// Threads with hubs of their own and git processes race; each commit that was told it landed is in the branch.
#[test]
fn racing_processes_lose_no_update() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    let landed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for racer in 0..4 {
            let (fixture, branch, landed) = (&fixture, &branch, &landed);
            scope.spawn(move || {
                let hub = Hub::open(fixture.hub.path()).unwrap();
                for round in 0..25 {
                    let tip = hub.tip(branch).unwrap().unwrap();
                    let next = on_top(&hub, &tip, &format!("{racer} {round}"));
                    let through_git = racer == 3;
                    let won = if through_git {
                        git_in(hub.path(), &["update-ref", branch, &next.0, &tip.0])
                            .status
                            .success()
                    } else {
                        match hub.land(branch, &tip, &hub.make_durable(&next).unwrap()) {
                            Ok(Landed::Moved) => true,
                            Ok(Landed::Already) => panic!("every commit is new"),
                            Err(LandError::Moved { .. } | LandError::Locked { .. }) => false,
                            Err(error) => panic!("{error}"),
                        }
                    };
                    landed.fetch_add(usize::from(won), Ordering::Relaxed);
                }
            });
        }
    });
    let tip = fixture.hub.tip(&branch).unwrap().unwrap();
    let log = fixture.hub.log(Some(&fixture.base), &tip, 1000).unwrap();
    assert_eq!(log.len(), landed.into_inner());
    assert!(log.len() >= 25);
    assert!(!fixture.hub.path().join(format!("{branch}.lock")).exists());
}

#[test]
fn a_reference_is_created_by_one_of_many() {
    let fixture = Fixture::new();
    let reference = refs::base(&RunId::new());
    let commits: Vec<_> = (0..8)
        .map(|number| on_top(&fixture.hub, &fixture.base, &number.to_string()))
        .collect();
    let created = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for commit in &commits {
            let (fixture, reference, created) = (&fixture, &reference, &created);
            scope.spawn(move || {
                created.fetch_add(
                    usize::from(fixture.hub.pin(reference, commit).is_ok()),
                    Ordering::Relaxed,
                )
            });
        }
    });
    assert_eq!(created.into_inner(), 1);
}

#[test]
fn a_stale_lock_blocks_until_the_lease_holder_removes_it() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    let lock = fixture.hub.path().join(format!("{branch}.lock"));
    write(&lock, "");
    let durable = fixture
        .hub
        .make_durable(&on_top(&fixture.hub, &fixture.base, "next"))
        .unwrap();
    let error = fixture.hub.land(&branch, &fixture.base, &durable).unwrap_err();
    assert!(
        matches!(&error, LandError::Locked { lock, .. } if lock.path.ends_with(format!("{branch}.lock"))),
        "{error}"
    );

    let held = Held;
    let minute = Duration::from_secs(60);
    let remove = || fixture.hub.remove_stale_lock(&branch, &held, minute).unwrap();
    assert_eq!(remove(), StaleLock::TooYoung);
    let open = File::options().write(true).open(&lock).unwrap();
    open.set_modified(SystemTime::now() - Duration::from_secs(3600))
        .unwrap();
    assert_eq!(
        remove(),
        StaleLock::InUse {
            process: std::process::id()
        }
    );
    drop(open);
    assert_eq!(remove(), StaleLock::Removed);
    assert_eq!(remove(), StaleLock::Absent);
    assert_eq!(
        fixture.hub.land(&branch, &fixture.base, &durable).unwrap(),
        Landed::Moved
    );
}

#[test]
fn start_removes_every_lock_without_a_holder() {
    let fixture = Fixture::new();
    let hub = &fixture.hub;
    let (branch, pin) = (refs::integration(&RunId::new()), refs::base(&RunId::new()));
    hub.create_branch(&branch, &fixture.base).unwrap();
    let dead = [
        hub.path().join(format!("{pin}.lock")),
        hub.path().join("packed-refs.lock"),
    ];
    dead.iter().for_each(|path| write(path, ""));
    let held = hub.path().join(format!("{branch}.lock"));
    let open = File::create(&held).unwrap();

    let mut removed = hub.remove_dead_locks().unwrap();
    removed.sort_by_key(|path| path.ends_with("packed-refs.lock"));
    assert_eq!(removed, dead);
    hub.pin(&pin, &fixture.base).unwrap();
    assert!(held.exists());
    drop(open);
    assert_eq!(hub.remove_dead_locks().unwrap(), [held]);
    assert!(hub.remove_dead_locks().unwrap().is_empty());
}

#[test]
fn lock_of_a_stopped_process_stays() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    // As a process holds it that was stopped between writing its lock file and renaming it.
    let moving = File::open(fixture.hub.path().join("orchestrator-references.lock")).unwrap();
    rustix::fs::flock(&moving, rustix::fs::FlockOperation::LockShared).unwrap();
    let lock = fixture.hub.path().join(format!("{branch}.lock"));
    write(&lock, "");
    File::open(&lock)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(3600))
        .unwrap();
    let held = Held;
    let remove = || {
        let removed = fixture.hub.remove_stale_lock(&branch, &held, Duration::from_secs(60));
        removed.unwrap()
    };
    assert_eq!(remove(), StaleLock::Moving);
    assert!(fixture.hub.remove_dead_locks().is_err());
    assert!(lock.exists());
    // Others move references meanwhile.
    fixture.hub.pin(&refs::base(&RunId::new()), &fixture.base).unwrap();
    drop(moving);
    assert_eq!(remove(), StaleLock::Removed);
}

#[test]
fn a_lock_that_goes_away_is_waited_for() {
    let fixture = Fixture::new();
    let branch = refs::integration(&RunId::new());
    fixture.hub.create_branch(&branch, &fixture.base).unwrap();
    let lock = fixture.hub.path().join(format!("{branch}.lock"));
    let durable = fixture
        .hub
        .make_durable(&on_top(&fixture.hub, &fixture.base, "next"))
        .unwrap();
    write(&lock, "");
    std::thread::scope(|scope| {
        let landing = scope.spawn(|| fixture.hub.land(&branch, &fixture.base, &durable).unwrap());
        fs::remove_file(&lock).unwrap();
        assert_eq!(landing.join().unwrap(), Landed::Moved);
    });
}
