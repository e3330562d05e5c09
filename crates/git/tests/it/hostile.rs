//! A worktree that a worker has turned against us.

use crate::support::{Fixture, attempt_reference, changed_files, git_in, make_executable, stamp, write};
use git::{MergeOutcome, SnapshotError, SnapshotRequest, TreeLimits, WalkError, WorktreeStart};
use std::{
    fs,
    path::{Path, PathBuf},
};

const DANGEROUS_KEYS: [&str; 8] = [
    "core.fsmonitor",
    "core.sshCommand",
    "core.editor",
    "diff.external",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "merge.evil.driver",
];

/// A program that leaves a trace when it runs.
fn trap(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let trace = fixture.directory.path().join("executed");
    let program = fixture.directory.path().join("trap.sh");
    write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", trace.display()));
    make_executable(&program);
    (program, trace)
}

fn set_traps(git_directory: &Path, program: &Path) {
    for key in DANGEROUS_KEYS {
        let set = git_in(
            git_directory,
            &["config", "--file", "config", key, program.to_str().unwrap()],
        );
        assert!(set.status.success(), "{set:?}");
    }
    for hook in [
        "post-checkout",
        "pre-commit",
        "reference-transaction",
        "post-merge",
        "post-index-change",
    ] {
        write(&git_directory.join("hooks").join(hook), fs::read(program).unwrap());
        make_executable(&git_directory.join("hooks").join(hook));
    }
}

fn snapshot(fixture: &Fixture, place: &Path) -> Result<git::Snapshot, SnapshotError> {
    fixture.hub.snapshot(&SnapshotRequest {
        worktree: place,
        base: &fixture.base,
        reference: &attempt_reference(),
        stamp: &stamp("turn"),
        limits: &TreeLimits::default(),
    })
}

#[test]
fn replaced_git_directory_runs_nothing() {
    let fixture = Fixture::new();
    let (program, trace) = trap(&fixture);
    let place = fixture.place("task-1");
    let start = WorktreeStart::At(fixture.base.clone());
    fixture.hub.add_worktree(&place, &start).unwrap();
    fs::remove_file(place.join(".git")).unwrap();
    assert!(git_in(&place, &["init", "-q"]).status.success());
    set_traps(&place.join(".git"), &program);
    write(&place.join(".gitattributes"), "* filter=evil diff=evil merge=evil\n");
    write(&place.join("README.md"), "changed\n");
    // The traps work: git itself would run them.
    git_in(&place, &["status"]);
    assert!(trace.exists());
    fs::remove_file(&trace).unwrap();

    let taken = snapshot(&fixture, &place).unwrap();
    assert_eq!(
        fixture.hub.read_file(&taken.commit, &"README.md".into()).unwrap(),
        Some(b"changed\n".to_vec())
    );
    fixture
        .hub
        .file_diff(&fixture.base, &taken.commit, &"README.md".into(), 1000)
        .unwrap();
    let tip = fixture.commit_on(&fixture.base, |user| user.write("README.md", "other\n"));
    assert!(matches!(
        fixture.hub.merge(&tip, &taken.commit).unwrap(),
        MergeOutcome::Conflicted(_)
    ));
    assert!(
        fixture
            .hub
            .add_worktree(&fixture.place("gate"), &WorktreeStart::At(taken.commit))
            .is_ok()
    );
    fixture.hub.remove_worktree(&place).unwrap();
    assert!(!trace.exists(), "something of the worker's was executed");
}

#[test]
fn reading_and_delivering_runs_no_program_of_the_configuration() {
    let fixture = Fixture::new();
    let (program, trace) = trap(&fixture);
    let change = fixture.commit_on(&fixture.base, |user| user.write("README.md", "new\n"));
    set_traps(&fixture.user.path.join(".git"), &program);
    fixture.hub.refresh(&fixture.user.path).unwrap();
    git::deliver_branch(&fixture.user.path, &fixture.hub, &change, "orchestrator/x").unwrap();
    assert_eq!(
        git::fast_forward(&fixture.user.path, &fixture.base, &change).unwrap(),
        git::FastForward::Done
    );
    assert!(!trace.exists(), "something of the user's was executed");
}

#[test]
fn nested_repositories_and_reserved_names_are_refused() {
    let fixture = Fixture::new();
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    for nested in ["vendor/lib/.git", "vendor/.GIT", ".Git"] {
        write(&place.join(nested).join("HEAD"), "ref: refs/heads/main\n");
        write(&place.join("vendor/lib/file"), "x");
        let error = snapshot(&fixture, &place).unwrap_err();
        let refused = matches!(
            error,
            SnapshotError::Refused(WalkError::NestedRepository { .. } | WalkError::ReservedName { .. })
        );
        assert!(refused && error.to_string().contains(nested), "{nested}: {error}");
        fs::remove_dir_all(place.join(nested)).unwrap();
    }
    write(&place.join("vendor/lib/.git"), "gitdir: /somewhere\n");
    assert!(snapshot(&fixture, &place).is_err());
    write(&place.join(".gitignore"), "vendor/\n");
    assert!(snapshot(&fixture, &place).is_ok());
}

#[test]
fn symlinks_are_recorded_and_never_followed() {
    let fixture = Fixture::new();
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    let secret = fixture.directory.path().join("secret");
    write(&secret.join("key"), "top secret");
    fs::remove_dir_all(place.join("src")).unwrap();
    std::os::unix::fs::symlink(&secret, place.join("src")).unwrap();
    fs::remove_file(place.join("README.md")).unwrap();
    std::os::unix::fs::symlink(secret.join("key"), place.join("README.md")).unwrap();
    let taken = snapshot(&fixture, &place).unwrap();
    let target = fixture
        .hub
        .read_file(&taken.commit, &"README.md".into())
        .unwrap()
        .unwrap();
    assert_eq!(target, secret.join("key").to_str().unwrap().as_bytes());
    assert_eq!(fixture.hub.read_file(&taken.commit, &"src/key".into()).unwrap(), None);

    // Checking it out again does not write through the links.
    fixture
        .hub
        .add_worktree(&fixture.place("again"), &WorktreeStart::At(taken.commit))
        .unwrap();
    assert_eq!(fs::read_to_string(secret.join("key")).unwrap(), "top secret");
}

#[test]
fn pipes_are_skipped_without_blocking() {
    let fixture = Fixture::new();
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    for name in ["pipe", ".gitignore"] {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, place.join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    assert_eq!(changed_files(&fixture, &snapshot(&fixture, &place).unwrap().commit), 0);
}

#[test]
fn many_new_files_reach_the_limit_and_not_the_hub() {
    let fixture = Fixture::new();
    let place = fixture.place("task-1");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    for number in 0..300 {
        write(&place.join(format!("generated/{number}")), number.to_string());
    }
    let request = SnapshotRequest {
        worktree: &place,
        base: &fixture.base,
        reference: &attempt_reference(),
        stamp: &stamp("turn"),
        limits: &TreeLimits {
            max_changed_files: 200,
            ..TreeLimits::default()
        },
    };
    let error = fixture.hub.snapshot(&request).unwrap_err();
    assert!(
        error.to_string().contains("more than 200 files") && error.to_string().contains("generated/"),
        "{error}"
    );
}
