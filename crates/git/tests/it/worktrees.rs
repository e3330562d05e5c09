use crate::support::{Fixture, git_in, stamp, write};
use git::{MergeOutcome, SnapshotRequest, TreeLimits, WorktreeError, WorktreeStart};
use std::{fs, os::unix::fs::PermissionsExt};

fn said(directory: &std::path::Path, arguments: &[&str]) -> String {
    let output = git_in(directory, arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_worktree_holds_the_commit_and_git_works_in_it() {
    let fixture = Fixture::new();
    let start = WorktreeStart::At(fixture.base.clone());
    let worktree = fixture.hub.add_worktree(&fixture.place("task-1"), &start).unwrap();
    assert_eq!(fs::read_to_string(worktree.path.join("README.md")).unwrap(), "hello\n");
    assert_eq!(said(&worktree.path, &["status", "--porcelain"]), "");
    assert_eq!(said(&worktree.path, &["rev-parse", "HEAD"]), fixture.base.0);
    write(&worktree.path.join("README.md"), "changed\n");
    assert_eq!(said(&worktree.path, &["status", "--porcelain"]), "M README.md");
    assert_eq!(said(&worktree.path, &["log", "--format=%s"]), "base");
    assert_eq!(fixture.hub.worktrees().unwrap(), [worktree.path]);
}

#[test]
fn adding_a_worktree_again_keeps_the_work_in_it() {
    let fixture = Fixture::new();
    let start = WorktreeStart::At(fixture.base.clone());
    let place = fixture.place("task-1");
    let first = fixture.hub.add_worktree(&place, &start).unwrap();
    write(&place.join("work"), "unsaved");
    assert_eq!(fixture.hub.add_worktree(&place, &start).unwrap(), first);
    assert!(place.join("work").exists());
    let other = fixture.commit_on(&fixture.base, |user| user.write("x", "x"));
    let error = fixture.hub.add_worktree(&place, &WorktreeStart::At(other)).unwrap_err();
    assert!(matches!(error, WorktreeError::Taken { .. }), "{error}");
    assert!(place.join("work").exists());
}

#[test]
fn unfinished_worktree_is_made_again_and_other_files_stay() {
    let fixture = Fixture::new();
    let start = WorktreeStart::At(fixture.base.clone());
    let place = fixture.place("task-1");
    fixture.hub.add_worktree(&place, &start).unwrap();
    // As after a death in the middle of the checkout: the registration is there, the mark is not.
    let registration = fs::read_dir(fixture.hub.path().join("worktrees"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_file(registration.join("orchestrator-ready")).unwrap();
    fs::remove_file(place.join("README.md")).unwrap();
    fixture.hub.add_worktree(&place, &start).unwrap();
    assert!(place.join("README.md").exists());

    // As after a clean-up that took the files only.
    fs::remove_dir_all(&place).unwrap();
    fixture.hub.add_worktree(&place, &start).unwrap();
    assert!(place.join("README.md").exists());

    let stranger = fixture.place("stranger");
    write(&stranger.join("precious"), "data");
    let error = fixture.hub.add_worktree(&stranger, &start).unwrap_err();
    assert!(matches!(error, WorktreeError::Occupied { .. }), "{error}");
    assert!(stranger.join("precious").exists());
}

#[test]
fn removing_a_worktree_leaves_nothing_and_can_be_repeated() {
    let fixture = Fixture::new();
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    write(&place.join("locked/file"), "x");
    fs::set_permissions(place.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    fixture.hub.remove_worktree(&place).unwrap();
    fixture.hub.remove_worktree(&place).unwrap();
    assert!(!place.exists());
    assert!(fixture.hub.worktrees().unwrap().is_empty());
}

#[test]
fn registration_of_a_missing_worktree_is_removed() {
    let fixture = Fixture::new();
    let start = WorktreeStart::At(fixture.base.clone());
    let (there, gone) = (fixture.place("there"), fixture.place("gone"));
    fixture.hub.add_worktree(&there, &start).unwrap();
    fixture.hub.add_worktree(&gone, &start).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    let registrations = fixture.hub.path().join("worktrees");
    let half_made = registrations.join("half-made");
    fs::create_dir(&half_made).unwrap();
    // Another process of the same hub has just begun it.
    let elsewhere = registrations.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere.join("gitdir"), "/elsewhere/worktrees/task/.git\n");

    // One of this directory's was begun and not written yet when its process died.
    let begun = gone.with_file_name("begun");
    fixture.hub.add_worktree(&begun, &start).unwrap();
    let entries = fs::read_dir(&registrations).unwrap().map(|entry| entry.unwrap().path());
    let begun_there = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("begun");
    let unwritten = entries.into_iter().find(begun_there).unwrap();
    fs::remove_file(unwritten.join("gitdir")).unwrap();

    let directory = gone.parent().unwrap();
    fixture.hub.forget_missing_worktrees(directory).unwrap();
    assert!(!unwritten.exists());
    assert_eq!(fs::read_dir(&registrations).unwrap().count(), 3);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    fs::File::open(&half_made).unwrap().set_modified(long_ago).unwrap();
    fixture.hub.forget_missing_worktrees(directory).unwrap();
    assert!(elsewhere.exists() && !half_made.exists());
    fs::remove_dir_all(&elsewhere).unwrap();
    assert_eq!(fixture.hub.worktrees().unwrap(), [there]);
    fixture.hub.add_worktree(&gone, &start).unwrap();
}

#[test]
fn no_filter_and_no_line_end_conversion_runs_at_checkout() {
    let fixture = Fixture::with(|user| {
        user.write(".gitattributes", "*.txt filter=evil text eol=crlf\n");
        user.write("a.txt", "one\ntwo\n");
    });
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    assert_eq!(fs::read(place.join("a.txt")).unwrap(), b"one\ntwo\n");
}

#[test]
fn a_rejected_task_goes_on_from_the_tip_with_its_work_applied() {
    let fixture = Fixture::new();
    let tip = fixture.commit_on(&fixture.base, |user| user.write("README.md", "tip\n"));
    let work = fixture.commit_on(&fixture.base, |user| {
        user.write("README.md", "work\n");
        user.write("new.txt", "work\n");
        fs::remove_file(user.path.join("src/two.txt")).unwrap();
    });
    let MergeOutcome::Conflicted(conflict) = fixture.hub.merge(&tip, &work).unwrap() else {
        panic!("both changed README.md")
    };
    assert_eq!(conflict.paths(), ["README.md".into()]);
    let carried = fixture.hub.with_some_resolutions(&conflict, Vec::new()).unwrap();
    let place = fixture.place("task-2");
    let start = WorktreeStart::Carrying {
        head: tip.clone(),
        tree: carried.clone(),
    };
    let worktree = fixture.hub.add_worktree(&place, &start).unwrap();
    let readme = fs::read_to_string(place.join("README.md")).unwrap();
    assert!(
        readme.contains("<<<<<<<") && readme.contains("work\n") && readme.contains("tip\n"),
        "{readme}"
    );
    assert!(place.join("new.txt").exists() && !place.join("src/two.txt").exists());
    assert_eq!(said(&place, &["rev-parse", "HEAD"]), tip.0);
    let request = SnapshotRequest {
        worktree: &worktree.path,
        base: &tip,
        reference: &crate::support::attempt_reference(),
        stamp: &stamp("carried"),
        limits: &TreeLimits::default(),
    };
    assert_eq!(fixture.hub.snapshot(&request).unwrap().tree, carried);
}
