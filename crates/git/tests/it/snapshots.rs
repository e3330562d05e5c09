use crate::support::{Fixture, attempt_reference, changed_files, make_executable, stamp, write};
use domain::CommitId;
use git::{Snapshot, SnapshotError, SnapshotRequest, TreeLimits, WalkError, WorktreeStart};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::symlink, path::PathBuf};

struct Attempt {
    fixture: Fixture,
    place: PathBuf,
    reference: String,
    limits: TreeLimits,
}

impl Attempt {
    fn on(fixture: Fixture) -> Self {
        let place = fixture.place("task-1");
        fixture
            .hub
            .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
            .unwrap();
        Self {
            fixture,
            place,
            reference: attempt_reference(),
            limits: TreeLimits::default(),
        }
    }

    fn new() -> Self {
        Self::on(Fixture::new())
    }

    fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        self.fixture.hub.snapshot(&SnapshotRequest {
            worktree: &self.place,
            base: &self.fixture.base,
            reference: &self.reference,
            stamp: &stamp("turn"),
            limits: &self.limits,
        })
    }

    fn refused(&self) -> WalkError {
        match self.snapshot() {
            Err(SnapshotError::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn listed(&self, commit: &CommitId) -> String {
        let output = crate::support::git_in(self.fixture.hub.path(), &["ls-tree", "-r", "-z", &commit.0]);
        String::from_utf8_lossy(&output.stdout).replace('\0', "\n")
    }
}

#[test]
fn an_untouched_worktree_has_the_tree_of_its_base() {
    let attempt = Attempt::new();
    let snapshot = attempt.snapshot().unwrap();
    assert_eq!(
        snapshot.tree,
        attempt.fixture.hub.tree_of(&attempt.fixture.base).unwrap()
    );
    assert_eq!(changed_files(&attempt.fixture, &snapshot.commit), 0);
}

#[test]
fn a_snapshot_equals_what_git_would_commit() {
    let attempt = Attempt::new();
    let place = &attempt.place;
    write(&place.join("src/deep/er/new.txt"), "new\n");
    write(&place.join("run.sh"), "#!/bin/sh\n");
    make_executable(&place.join("run.sh"));
    write(&place.join("empty"), "");
    write(&place.join("with\nnewline \"quoted\" \\ é"), "odd\n");
    write(&place.join(OsStr::from_bytes(b"latin-\xe9")), "not utf-8\n");
    symlink("../outside", place.join("link")).unwrap();
    symlink("src", place.join("link-to-directory")).unwrap();
    fs::remove_file(place.join("src/two.txt")).unwrap();
    fs::create_dir(place.join("empty-directory")).unwrap();
    write(&place.join(".gitignore"), "*.log\n!keep.log\n/build/\nsrc/**/cache\n");
    write(&place.join("a.log"), "x");
    write(&place.join("sub/keep.log"), "x");
    write(&place.join("build/out"), "x");
    write(&place.join("sub/build/out"), "x");
    write(&place.join("src/x/cache"), "x");
    write(&place.join("sub/.gitignore"), "secret\n");
    write(&place.join("sub/secret"), "x");
    write(&place.join("secret"), "x");
    let snapshot = attempt.snapshot().unwrap();
    // git itself, on a copy of the index so that the hub's is not changed.
    let index = attempt.fixture.directory.path().join("index");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        let output = command
            .current_dir(place)
            .env("GIT_INDEX_FILE", &index)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["read-tree", "HEAD"]);
    run(&["add", "-A"]);
    assert_eq!(
        snapshot.tree.0,
        run(&["write-tree"]),
        "{}",
        attempt.listed(&snapshot.commit)
    );
}

#[test]
fn ignored_files_of_the_base_are_kept() {
    let attempt = Attempt::on(Fixture::with(|user| {
        user.write("build/tracked", "one\n");
        user.git(&["add", "-A"]);
        user.write(".gitignore", "build/\n");
    }));
    write(&attempt.place.join("build/tracked"), "two\n");
    write(&attempt.place.join("build/output"), "x\n");
    let snapshot = attempt.snapshot().unwrap();
    let read = |path: &str| attempt.fixture.hub.read_file(&snapshot.commit, &path.into()).unwrap();
    assert_eq!(read("build/tracked"), Some(b"two\n".to_vec()));
    assert_eq!(read("build/output"), None);
}

#[test]
fn snapshots_of_an_attempt_are_a_chain_and_repeat_without_a_new_commit() {
    let attempt = Attempt::new();
    write(&attempt.place.join("one"), "1");
    let first = attempt.snapshot().unwrap();
    assert_eq!(attempt.snapshot().unwrap(), first);
    write(&attempt.place.join("two"), "2");
    let second = attempt.snapshot().unwrap();
    fs::remove_file(attempt.place.join("two")).unwrap();
    let third = attempt.snapshot().unwrap();
    assert_eq!(third.tree, first.tree);
    let log = attempt
        .fixture
        .hub
        .log(Some(&attempt.fixture.base), &third.commit, 10)
        .unwrap();
    let commits: Vec<_> = log.into_iter().map(|entry| entry.commit).collect();
    assert_eq!(commits, [third.commit, second.commit, first.commit]);
}

#[test]
fn a_change_within_the_same_size_and_time_is_seen() {
    let attempt = Attempt::new();
    let file = attempt.place.join("README.md");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    write(&file, "HELLO\n");
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let snapshot = attempt.snapshot().unwrap();
    assert_eq!(
        attempt
            .fixture
            .hub
            .read_file(&snapshot.commit, &"README.md".into())
            .unwrap(),
        Some(b"HELLO\n".to_vec())
    );
}

#[test]
fn limits_name_the_file_and_the_way_out() {
    let mut attempt = Attempt::new();
    attempt.limits = TreeLimits {
        max_changed_files: 3,
        max_file_bytes: 100,
        max_changed_bytes: 150,
    };
    write(&attempt.place.join("big.bin"), vec![b'x'; 101]);
    let error = attempt.refused();
    assert!(
        matches!(
            error,
            WalkError::FileTooLarge {
                bytes: 101,
                limit: 100,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("big.bin") && error.to_string().contains(".gitignore"));
    fs::remove_file(attempt.place.join("big.bin")).unwrap();
    write(&attempt.place.join("a"), vec![b'x'; 90]);
    write(&attempt.place.join("b"), vec![b'y'; 90]);
    assert!(matches!(attempt.refused(), WalkError::TooManyBytes { .. }));
    for name in ["a", "b", "c", "d"] {
        write(&attempt.place.join(name), name);
    }
    assert!(matches!(attempt.refused(), WalkError::TooManyFiles { limit: 3, .. }));
}

#[test]
fn a_large_file_of_the_base_is_no_breach() {
    let mut attempt = Attempt::on(Fixture::with(|user| user.write("big", vec![b'x'; 5000])));
    attempt.limits.max_file_bytes = 100;
    write(&attempt.place.join("big"), vec![b'x'; 5000]);
    write(&attempt.place.join("small"), "s");
    assert_eq!(changed_files(&attempt.fixture, &attempt.snapshot().unwrap().commit), 1);
}

#[test]
fn submodules_stay_and_files_in_them_are_refused() {
    let fixture = Fixture::new();
    let base = fixture.commit_on(&fixture.base, |user| {
        let link = format!("160000,{},sub", fixture.base);
        fs::create_dir(user.path.join("sub")).unwrap();
        user.git(&["update-index", "--add", "--cacheinfo", &link]);
    });
    let fixture = Fixture { base, ..fixture };
    let attempt = Attempt::on(fixture);
    assert_eq!(changed_files(&attempt.fixture, &attempt.snapshot().unwrap().commit), 0);
    write(&attempt.place.join("sub/file"), "x");
    assert!(matches!(attempt.refused(), WalkError::InsideSubmodule { .. }));
}
