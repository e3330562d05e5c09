//! Names that are `.git` on another file system, and links where git reads a file: nothing of ours adds one, and a
//! repository that has one already can be worked on.

use crate::support::{Fixture, attempt_reference, git_in, merged_by_git, stamp, write};
use domain::CommitId;
use git::{MergeOutcome, Refused, Snapshot, SnapshotError, SnapshotRequest, TreeLimits, WalkError, WorktreeStart};
use git2::{ObjectType, Oid, Repository};
use std::{fs, os::unix::fs::symlink, path::Path};

const DOT_GIT: [&str; 12] = [
    ".g\u{200d}it",
    ".git\u{200c}",
    "\u{feff}.GIT",
    ".Git",
    "git~1",
    "GIT~1",
    ".git.",
    ".git ",
    ".git . .",
    ".git::$INDEX_ALLOCATION",
    ".git:config",
    "a\\.git\\hooks",
];
const NO_FILES: [&str; 13] = [
    ".gitmodules",
    ".gitattributes",
    ".gitignore",
    ".mailmap",
    ".GitModules",
    ".gitattributes.",
    ".git\u{200d}ignore",
    "gitmod~1",
    "GITATT~4",
    "gitign~2",
    "gi7eba~1",
    "GI7D29~3",
    "gi250a~1",
];

fn snapshot(fixture: &Fixture, place: &Path, base: &CommitId) -> Result<Snapshot, SnapshotError> {
    fixture.hub.snapshot(&SnapshotRequest {
        worktree: place,
        base,
        reference: &attempt_reference(),
        stamp: &stamp("turn"),
        limits: &TreeLimits::default(),
    })
}

fn worktree(fixture: &Fixture, name: &str, at: &CommitId) -> std::path::PathBuf {
    let place = fixture.place(name);
    let start = WorktreeStart::At(at.clone());
    fixture.hub.add_worktree(&place, &start).unwrap();
    place
}

fn check(fixture: &Fixture, base: &CommitId, commit: &CommitId) -> Result<(), Refused> {
    fixture.hub.check(base, commit, &git::UserAttributes::default())
}

/// A commit on `parent` with an entry more, byte for byte, at the root or in `directory`.
fn with_entry(
    fixture: &Fixture,
    parent: &CommitId,
    directory: Option<&str>,
    name: &str,
    mode: &str,
    oid: Oid,
) -> CommitId {
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let base = repository
        .find_commit(Oid::from_str(&parent.0).unwrap())
        .unwrap()
        .tree()
        .unwrap();
    let mut entries: Vec<(String, Vec<u8>, Oid)> = match directory {
        Some(_) => Vec::new(),
        None => base
            .iter()
            .map(|entry| {
                (
                    format!("{:o}", entry.filemode_raw()),
                    entry.name_bytes().to_vec(),
                    entry.id(),
                )
            })
            .collect(),
    };
    entries.push((mode.to_owned(), name.as_bytes().to_vec(), oid));
    entries.sort_by_key(|(mode, name, _)| [&name[..], if mode == "40000" { b"/" } else { b"" }].concat());
    let bytes: Vec<u8> = entries
        .iter()
        .flat_map(|(mode, name, oid)| [mode.as_bytes(), b" ", name, b"\0", oid.as_bytes()].concat())
        .collect();
    let tree = repository.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap();
    match directory {
        Some(directory) => with_entry(fixture, parent, None, directory, "40000", tree),
        None => {
            let tree = git::TreeId(tree.to_string());
            fixture
                .hub
                .commit_tree(&tree, std::slice::from_ref(parent), &stamp("odd"))
                .unwrap()
        }
    }
}

#[test]
fn names_that_some_file_system_takes_for_git_are_refused_everywhere() {
    let fixture = Fixture::new();
    let place = worktree(&fixture, "task", &fixture.base);
    for name in DOT_GIT {
        for below in ["", "deep/er/"] {
            let at = place.join(format!("{below}{name}"));
            let make: [fn(&Path); 3] = [
                |at| write(&at.join("hooks/post-checkout"), "#!/bin/sh\n"),
                |at| write(at, "gitdir: /somewhere\n"),
                |at| symlink("elsewhere", at).unwrap(),
            ];
            for (kind, make) in make.into_iter().enumerate() {
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                make(&at);
                let error = snapshot(&fixture, &place, &fixture.base).unwrap_err();
                let refused = matches!(
                    error,
                    SnapshotError::Refused(WalkError::ReservedName { .. } | WalkError::NestedRepository { .. })
                );
                assert!(refused, "{below}{name:?}, kind {kind}: {error}");
                assert!(
                    !error.to_string().contains('\u{200d}'),
                    "what can't be seen is spelled out: {error}"
                );
                match kind {
                    0 => fs::remove_dir_all(&at).unwrap(),
                    _ => fs::remove_file(&at).unwrap(),
                }
            }
        }
    }
    // Git's neighbours are fine.
    for name in [".github/x", ".gitx", "git", "git~2", ".git-blame-ignore-revs", "a\\b"] {
        write(&place.join(name), "x");
    }
    snapshot(&fixture, &place, &fixture.base).unwrap();
}

#[test]
fn a_link_or_directory_where_git_reads_a_file_is_refused() {
    let fixture = Fixture::new();
    let place = worktree(&fixture, "task", &fixture.base);
    for name in NO_FILES {
        for below in ["", "src/"] {
            let at = place.join(format!("{below}{name}"));
            symlink("README.md", &at).unwrap();
            let error = snapshot(&fixture, &place, &fixture.base).unwrap_err();
            assert!(
                matches!(error, SnapshotError::Refused(WalkError::NoFile { .. })),
                "{below}{name:?}: {error}"
            );
            fs::remove_file(&at).unwrap();
            write(&at.join("inside"), "x");
            let error = snapshot(&fixture, &place, &fixture.base).unwrap_err();
            assert!(
                matches!(error, SnapshotError::Refused(WalkError::NoFile { .. })),
                "{below}{name:?}/: {error}"
            );
            fs::remove_dir_all(&at).unwrap();
            write(&at, "x\n");
            snapshot(&fixture, &place, &fixture.base).unwrap();
            fs::remove_file(&at).unwrap();
        }
    }
}

#[test]
fn changes_of_other_machines_are_checked_before_delivery() {
    let fixture = Fixture::new();
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let blob = repository.blob(b"README.md").unwrap();
    let directory = [b"100644 x\0", blob.as_bytes()].concat();
    let directory = repository.odb().unwrap().write(ObjectType::Tree, &directory).unwrap();
    for name in DOT_GIT {
        for (mode, oid) in [
            ("100644", blob),
            ("40000", directory),
            ("120000", blob),
            ("160000", blob),
        ] {
            for below in [None, Some("below")] {
                let commit = with_entry(&fixture, &fixture.base, below, name, mode, oid);
                let refused = check(&fixture, &fixture.base, &commit).unwrap_err();
                assert!(matches!(refused, Refused::ReservedName { .. }), "{name:?}: {refused}");
            }
        }
    }
    for name in NO_FILES {
        for (mode, oid) in [("40000", directory), ("120000", blob)] {
            let commit = with_entry(&fixture, &fixture.base, Some("below"), name, mode, oid);
            let refused = check(&fixture, &fixture.base, &commit).unwrap_err();
            assert!(matches!(refused, Refused::NoFile { .. }), "{name:?}: {refused}");
        }
        let commit = with_entry(&fixture, &fixture.base, None, name, "100644", blob);
        check(&fixture, &fixture.base, &commit).unwrap();
    }
}

#[test]
fn repository_with_reserved_names_works_and_keeps_them() {
    let fixture = Fixture::new();
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let blob = repository.blob(b"README.md").unwrap();
    let directory = [b"100644 x\0", blob.as_bytes()].concat();
    let directory = repository.odb().unwrap().write(ObjectType::Tree, &directory).unwrap();
    let mut base = fixture.base.clone();
    for (below, name, mode, oid) in [
        (None, ".g\u{200d}it", "40000", directory),
        (None, "git~1", "100644", blob),
        (None, ".gitmodules", "120000", blob),
        (Some("only"), "gitmod~1", "120000", blob),
        (None, ".gitignore", "120000", blob),
        (None, ".gitattributes", "120000", blob),
    ] {
        base = with_entry(&fixture, &base, below, name, mode, oid);
    }
    let place = worktree(&fixture, "task", &base);
    assert!(!place.join(".g\u{200d}it").exists() && !place.join("only").exists());
    let changed = |snapshot: &Snapshot| fixture.hub.changed_paths(&base, &snapshot.commit).unwrap().len();
    assert_eq!(changed(&snapshot(&fixture, &place, &base).unwrap()), 0);

    write(&place.join("src/one.txt"), "ours\n");
    let ours = snapshot(&fixture, &place, &base).unwrap();
    assert_eq!(changed(&ours), 1);
    check(&fixture, &base, &ours.commit).unwrap();
    let place = worktree(&fixture, "other", &base);
    fs::rename(place.join("src/two.txt"), place.join("src/three.txt")).unwrap();
    let theirs = snapshot(&fixture, &place, &base).unwrap().commit;
    let MergeOutcome::Clean(merged) = fixture.hub.merge(&ours.commit, &theirs).unwrap() else {
        panic!("a conflict")
    };
    for tree in [merged.tree, merged_by_git(&fixture, &ours.commit, &theirs)] {
        let merged = fixture
            .hub
            .commit_merge(&tree, &ours.commit, &theirs, &stamp("m"))
            .unwrap();
        check(&fixture, &base, &merged).unwrap();
        let listed = git_in(fixture.hub.path(), &["ls-tree", "-r", "--name-only", "-z", &merged.0]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        for kept in [
            ".g\u{200d}it/x",
            "git~1",
            ".gitmodules",
            "only/gitmod~1",
            ".gitignore",
            ".gitattributes",
        ] {
            assert!(listed.split('\0').any(|path| path == kept), "{kept:?} in {listed:?}");
        }
        fs::remove_dir_all(fixture.place("gate")).ok();
        fixture.hub.remove_worktree(&fixture.place("gate")).unwrap();
        worktree(&fixture, "gate", &merged);
    }

    // Changing one of them is adding one.
    let place = worktree(&fixture, "third", &base);
    write(&place.join(".g\u{200d}it/x"), "changed");
    assert!(matches!(
        snapshot(&fixture, &place, &base).unwrap_err(),
        SnapshotError::Refused(WalkError::ReservedName { .. })
    ));
    // A file in the place of a link mends it.
    let place = worktree(&fixture, "fourth", &base);
    write(&place.join(".gitmodules"), "");
    fs::remove_file(place.join(".gitignore")).unwrap();
    let mended = snapshot(&fixture, &place, &base).unwrap().commit;
    check(&fixture, &base, &mended).unwrap();
    assert_eq!(
        fixture.hub.read_file(&mended, &".gitmodules".into()).unwrap(),
        Some(Vec::new())
    );
    assert_eq!(fixture.hub.read_file(&mended, &".gitignore".into()).unwrap(), None);
}

#[test]
fn hubs_old_and_new_refuse_what_other_file_systems_take_for_git() {
    let fixture = Fixture::new();
    let keys = ["core.protectHFS", "core.protectNTFS"];
    let set = |file: &str, key: &str| {
        let answer = git_in(fixture.hub.path(), &["config", "--file", file, "--get", key]);
        String::from_utf8(answer.stdout).unwrap().trim() == "true"
    };
    for file in ["config", "orchestrator.config"] {
        for key in keys {
            assert!(set(file, key), "{file}: {key}");
            git_in(fixture.hub.path(), &["config", "--file", file, "--unset", key]);
            assert!(!set(file, key));
        }
    }
    git::Hub::open(fixture.hub.path()).unwrap();
    for file in ["config", "orchestrator.config"] {
        assert!(keys.iter().all(|key| set(file, key)), "{file}");
    }
}
