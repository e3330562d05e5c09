//! Lock files of the user's own git, held and stale, at each step of a delivery.

use crate::support::{Fixture, on_base, write};
use git::{DeliverError, Delivered, FastForward, HeldLock, SkipReason, deliver_branch, fast_forward};
use std::{
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

const BRANCH: &str = "orchestrator/abc";
const HOUR: Duration = Duration::from_secs(3_600);

/// A lock file that was written some time ago; open as long as the result lives.
fn lock(path: &Path, age: Duration) -> File {
    write(path, "somebody else's\n");
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    file
}

fn skipped(outcome: FastForward) -> HeldLock {
    match outcome {
        FastForward::Skipped(SkipReason::Locked(lock)) => lock,
        other => panic!("{other:?}"),
    }
}

#[test]
fn stale_index_lock_is_reported_with_its_age() {
    let fixture = Fixture::new();
    let commit = on_base(&fixture, "one");
    let path = fixture.user.path.join(".git/index.lock");
    drop(lock(&path, 3 * HOUR));
    let delivered = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH);
    assert_eq!(delivered.unwrap(), Delivered::Created);
    let held = skipped(fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap());
    assert_eq!(held.path, path);
    assert!(held.is_stale());
    let said = held.to_string();
    for word in [
        "written 3 h ago",
        "no process",
        "commit editor",
        &format!("rm {}", path.display()),
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(path.exists());
    assert_eq!(fixture.user.read("README.md"), "hello\n");
    std::fs::remove_file(&path).unwrap();
    let moved = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert_eq!(moved, FastForward::Done);
}

#[test]
fn process_that_holds_the_index_lock_is_named() {
    let fixture = Fixture::new();
    let commit = on_base(&fixture, "one");
    let path = fixture.user.path.join(".git/index.lock");
    let open = lock(&path, HOUR);
    let held = skipped(fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap());
    assert_eq!(
        held.holder.as_ref().map(|holder| holder.process),
        Some(std::process::id())
    );
    assert!(held.to_string().contains("holds the lock"), "{held}");
    assert!(!held.waited.is_zero());
    drop(open);
}

#[test]
fn stale_lock_of_the_checked_out_branch_leaves_the_checkout() {
    let fixture = Fixture::new();
    let commit = on_base(&fixture, "one");
    let path = fixture.user.path.join(".git/refs/heads/main.lock");
    drop(lock(&path, HOUR));
    let held = skipped(fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap());
    assert_eq!(held.path, path);
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");
}

#[test]
fn stale_lock_of_the_delivered_branch_is_reported_at_once() {
    let fixture = Fixture::new();
    let commit = on_base(&fixture, "one");
    let path = fixture.user.path.join(format!(".git/refs/heads/{BRANCH}.lock"));
    drop(lock(&path, HOUR));
    let error = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap_err();
    assert!(
        matches!(&error, DeliverError::Locked(held) if held.path == path),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    // One that may still be in use is worth another try.
    let open = lock(&path, Duration::ZERO);
    let error = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap_err();
    assert!(matches!(&error, DeliverError::Git(_)), "{error}");
    drop(open);
}

#[test]
fn locks_that_a_delivery_does_not_need_do_not_hold_it_up() {
    let fixture = Fixture::new();
    let commit = on_base(&fixture, "one");
    let locks = [
        "HEAD.lock",
        "packed-refs.lock",
        "config.lock",
        "shallow.lock",
        "refs/heads/other.lock",
    ];
    let paths = locks.map(|name| fixture.user.path.join(".git").join(name));
    paths.iter().for_each(|path| drop(lock(path, HOUR)));
    let delivered = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH);
    assert_eq!(delivered.unwrap(), Delivered::Created);
    let moved = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert_eq!(moved, FastForward::Done);
    assert!(paths.iter().all(|path| path.exists()));
}
