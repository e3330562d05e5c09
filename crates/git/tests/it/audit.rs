use crate::support::{Fixture, UserRepository, fingerprint, numbered, with_line};
use domain::CommitId;
use git::{GaveUp, merge_audit};
use std::{fs, ops::ControlFlow, path::Path};

fn audit(repository: &Path, last: Option<usize>) -> git::AuditReport {
    merge_audit(repository, last, &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// Merges a branch as a person would; `resolve` mends what git could not, or alters what it could.
fn merge(user: &UserRepository, branch: &CommitId, resolve: impl FnOnce(&UserRepository)) {
    crate::support::git_in(&user.path, &["merge", "-q", "--no-ff", "--no-commit", &branch.0]);
    resolve(user);
    user.commit("merge");
}

/// One merge of each kind: as git has it, altered by people, in conflict, left to git, and of histories apart.
fn repository() -> Fixture {
    let fixture = Fixture::new();
    let text = numbered(30);
    let branch = |line: usize, word: &str| {
        fixture.commit_on(&fixture.base, |user| {
            user.write("src/one.txt", with_line(&text, line, word));
        })
    };
    let (same, altered, meets) = (branch(2, "same"), branch(9, "altered"), branch(2, "meets"));
    let moved = fixture.commit_on(&fixture.base, |user| {
        user.git(&["mv", "src/one.txt", "src/moved.txt"]);
    });
    let user = &fixture.user;
    user.write("README.md", "main\n");
    user.commit("main");
    merge(user, &same, |_| {});
    merge(user, &altered, |user| user.write("README.md", "altered\n"));
    merge(user, &meets, |user| {
        user.write("src/one.txt", with_line(&text, 2, "both"))
    });
    merge(user, &moved, |_| {});
    user.git(&["checkout", "-q", "--orphan", "apart"]);
    let apart = user.commit("apart");
    user.git(&["checkout", "-q", "main"]);
    user.git(&[
        "merge",
        "-q",
        "--allow-unrelated-histories",
        "-s",
        "ours",
        "-m",
        "apart",
        &apart.0,
    ]);
    fixture
}

#[test]
fn every_merge_is_counted_once_and_nothing_is_written() {
    let fixture = repository();
    // Neither may run or be heeded.
    fs::write(
        fixture.user.path.join(".git/hooks/post-index-change"),
        "#!/bin/sh\nexit 1\n",
    )
    .unwrap();
    fs::write(fixture.user.path.join(".git/info/attributes"), "* -merge\n").unwrap();
    let before = fingerprint(&fixture.user.path);
    let report = audit(&fixture.user.path, None);
    assert_eq!(fingerprint(&fixture.user.path), before);

    assert_eq!((report.found, report.merges), (5, 5));
    assert_eq!(
        (report.same, report.different, report.conflict),
        (2, 1, 1),
        "{report:?}"
    );
    assert_eq!((report.unrelated, report.unreadable), (1, 0), "{report:?}");
    assert_eq!((report.false_conflict, report.wrong), (0, 0), "{report:?}");
    assert_eq!((report.clean, report.clean_decided, report.gave_up), (3, 2, 2));
    assert_eq!(report.gave_up_because[&GaveUp::Lines], 1);
    assert_eq!(report.gave_up_because[&GaveUp::ChangeMeetsDeletion], 1);
    assert_eq!((report.git.count, report.ours.count), (5, 5));
    assert!(report.git.p50_us > 0 && report.git.p99_us >= report.git.p50_us);
}

#[test]
fn audit_can_be_stopped_or_limited() {
    let fixture = repository();
    assert_eq!(audit(&fixture.user.path, Some(2)).found, 2);
    let mut told = Vec::new();
    let stopped = merge_audit(&fixture.user.path, None, &mut |done, all| {
        told.push((done, all));
        if done == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let stopped = stopped.unwrap();
    assert_eq!((stopped.found, stopped.merges), (5, 3));
    assert_eq!(told, [(0, 5), (1, 5), (2, 5), (3, 5)]);
}

#[test]
fn missing_objects_are_reported_without_ending_the_audit() {
    let fixture = repository();
    let user = &fixture.user;
    let lost = user.git(&["rev-parse", "main~1^2^{tree}:src/moved.txt"]);
    fs::remove_file(user.path.join(".git/objects").join(&lost[..2]).join(&lost[2..])).unwrap();
    let report = audit(&user.path, None);
    assert_eq!(report.merges, 5);
    assert!(report.unreadable > 0, "{report:?}");
    assert!(report.first_unreadable.unwrap().contains(&lost));
}

#[test]
fn path_without_a_repository_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let error = merge_audit(directory.path(), None, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(
        error.to_string().contains(directory.path().to_str().unwrap()),
        "{error}"
    );
}
