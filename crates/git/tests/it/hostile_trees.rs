//! Trees that no careful person makes: odd names, submodules, drivers, too many files, too large ones.

use crate::support::{Fixture, attempt_reference, git_in, make_executable, stamp, write};
use domain::CommitId;
use git::{
    CleanMerge, ConflictKind, GaveUp, MergeEngine, MergeOutcome, SnapshotError, SnapshotRequest, TreeLimits, WalkError,
    WorktreeStart, merge_audit,
};
use git2::{ObjectType, Oid, Repository, Signature, Time};
use std::{fs, ops::ControlFlow, os::unix::ffi::OsStrExt, path::Path};

/// A tree, byte for byte: nothing checks the names.
fn tree(repository: &Repository, entries: &[(&str, &[u8], Oid)]) -> Oid {
    let mut bytes = Vec::new();
    for (mode, name, oid) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(oid.as_bytes());
    }
    repository.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
}

fn commit(repository: &Repository, tree: Oid, parents: &[Oid]) -> Oid {
    let signature = Signature::new("H", "h@example.org", &Time::new(0, 0)).unwrap();
    let tree = repository.find_tree(tree).unwrap();
    let parents: Vec<_> = parents
        .iter()
        .map(|oid| repository.find_commit(*oid).unwrap())
        .collect();
    let parents: Vec<_> = parents.iter().collect();
    repository
        .commit(None, &signature, &signature, "h", &tree, &parents)
        .unwrap()
}

fn id(oid: Oid) -> CommitId {
    CommitId(oid.to_string())
}

fn snapshot(fixture: &Fixture, place: &Path, limits: &TreeLimits) -> Result<git::Snapshot, SnapshotError> {
    fixture.hub.snapshot(&SnapshotRequest {
        worktree: place,
        base: &fixture.base,
        reference: &attempt_reference(),
        stamp: &stamp("turn"),
        limits,
    })
}

#[test]
fn names_that_lead_out_of_a_checkout_write_nothing_there() {
    let fixture = Fixture::new();
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let blob = repository.blob(b"#!/bin/sh\n").unwrap();
    let inner = tree(&repository, &[("100755", b"escaped", blob)]);
    let hooks = tree(&repository, &[("100755", b"post-checkout", blob)]);
    let git = tree(&repository, &[("40000", b"hooks", hooks)]);
    for (mode, name, oid) in [
        ("40000", &b".."[..], inner),
        ("40000", b".git", git),
        ("40000", b".GIT", git),
        ("100644", b"../escaped", blob),
        ("160000", b".git", blob),
        ("100644", b".", blob),
    ] {
        let base = commit(&repository, tree(&repository, &[(mode, name, oid)]), &[]);
        let place = fixture.place("out");
        let made = fixture.hub.add_worktree(&place, &WorktreeStart::At(id(base)));
        let escaped = place.parent().unwrap().join("escaped");
        assert!(!escaped.exists(), "{name:?}");
        assert!(place.join(".git").is_file() || !place.join(".git").exists(), "{name:?}");
        if let Err(error) = made {
            assert!(error.to_string().contains("check out"), "{error}");
        }
        fixture.hub.remove_worktree(&place).unwrap();

        // A merge around it ends in an answer, whichever it is.
        let side = |added: &[u8]| {
            let mut entries = vec![(mode, name, oid), ("100644", added, blob)];
            entries.sort_by_key(|(_, name, _)| *name);
            commit(&repository, tree(&repository, &entries), &[base])
        };
        let (ours, theirs) = (side(b"zero"), side(b"zone"));
        match fixture.hub.merge(&id(ours), &id(theirs)) {
            Ok(outcome) => assert!(matches!(outcome, MergeOutcome::Clean(_) | MergeOutcome::Conflicted(_))),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn odd_names_are_recorded_and_merged_as_git_would() {
    let fixture = Fixture::new();
    let place = fixture.place("odd");
    let start = WorktreeStart::At(fixture.base.clone());
    fixture.hub.add_worktree(&place, &start).unwrap();
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"..dots",
        b"...",
        b"-dash",
        b"\"quoted\"",
        b"tab\tand space ",
        b"not utf-8 \xff",
        b"back\\slash",
        b"*?[",
    ];
    for name in names {
        write(&place.join("odd").join(std::ffi::OsStr::from_bytes(name)), name);
    }
    let ours = snapshot(&fixture, &place, &TreeLimits::default()).unwrap().commit;
    let paths = fixture.hub.paths(&ours).unwrap();
    for name in names {
        let path = [b"odd/", name].concat();
        assert!(paths.iter().any(|found| found.as_bytes() == path), "{path:?}");
    }
    let theirs = fixture.commit_on(&fixture.base, |user| {
        user.write("odd/new\nline too", "x");
        user.write("README.md", "theirs\n");
    });
    let MergeOutcome::Clean(merged) = fixture.hub.merge(&ours, &theirs).unwrap() else {
        panic!()
    };
    assert_eq!(merged.engine, MergeEngine::Fast);
    let answer = git_in(fixture.hub.path(), &["merge-tree", "--write-tree", &ours.0, &theirs.0]);
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim_end(), merged.tree.0);
}

#[test]
fn submodules_that_both_sides_moved_are_a_conflict_of_their_own_kind() {
    let fixture = Fixture::new();
    let link = |commit: &str| format!("160000,{commit},vendor/lib");
    let with_link = |from: &CommitId, commit: &str| {
        fixture.commit_on(from, |user| {
            fs::create_dir_all(user.path.join("vendor/lib")).unwrap();
            user.git(&["update-index", "--add", "--cacheinfo", &link(commit)]);
        })
    };
    let base = with_link(&fixture.base, &"1".repeat(40));
    let (ours, theirs) = (with_link(&base, &"2".repeat(40)), with_link(&base, &"3".repeat(40)));
    let MergeOutcome::Conflicted(conflict) = fixture.hub.merge(&ours, &theirs).unwrap() else {
        panic!()
    };
    assert_eq!(conflict.files[0].kind, ConflictKind::Submodule);
    let beside = fixture.commit_on(&base, |user| user.write("beside", "x"));
    assert!(matches!(
        fixture.hub.merge(&ours, &beside).unwrap(),
        MergeOutcome::Clean(CleanMerge {
            engine: MergeEngine::Fast,
            ..
        })
    ));
}

/// The drivers are configured where a careless program would look; ours looks nowhere.
#[test]
fn no_filter_or_driver_of_an_attribute_runs_in_a_merge() {
    let lines = |word: &str| format!("{word}\n{}", crate::support::numbered(12));
    let fixture = Fixture::with(|user| {
        user.write(
            ".gitattributes",
            "*.txt filter=evil diff=evil merge=evil text eol=crlf ident\n",
        );
        user.write("a.txt", lines("base"));
        user.write("b.md", lines("base"));
    });
    let trace = fixture.directory.path().join("ran");
    let program = fixture.directory.path().join("evil.sh");
    write(&program, format!("#!/bin/sh\ntouch {}\n", trace.display()));
    make_executable(&program);
    let change = |word: &'static str, line: usize| {
        let changed = crate::support::with_line(&lines("base"), line, word);
        fixture.commit_on(&fixture.base, |user| {
            user.write("a.txt", &changed);
            user.write("b.md", &changed);
        })
    };
    let (ours, theirs, meets) = (change("ours", 1), change("theirs", 9), change("meets", 1));
    for key in [
        "filter.evil.clean",
        "filter.evil.smudge",
        "merge.evil.driver",
        "diff.evil.command",
    ] {
        fixture.user.git(&["config", key, program.to_str().unwrap()]);
    }
    assert!(matches!(
        fixture.hub.merge(&ours, &theirs).unwrap(),
        MergeOutcome::Clean(_)
    ));
    assert!(matches!(
        fixture.hub.merge(&ours, &meets).unwrap(),
        MergeOutcome::Conflicted(_)
    ));
    fixture.user.git(&["branch", "merged", &ours.0]);
    let report = merge_audit(&fixture.user.path, None, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.unreadable, 0);
    assert!(!trace.exists());
}

#[test]
fn a_hundred_thousand_files_merge_and_a_snapshot_of_them_meets_its_limit() {
    let fixture = Fixture::in_memory();
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let [blob, other] = [&b"x"[..], b"y"].map(|content| repository.blob(content).unwrap());
    let directory = |changed: usize| {
        let names: Vec<String> = (0..1_000).map(|number| format!("file-{number:04}")).collect();
        let entries: Vec<(&str, &[u8], Oid)> = names
            .iter()
            .enumerate()
            .map(|(number, name)| ("100644", name.as_bytes(), if number == changed { other } else { blob }))
            .collect();
        tree(&repository, &entries)
    };
    let [plain, one, two] = [usize::MAX, 1, 2].map(directory);
    let side = |first: Oid| {
        let names: Vec<String> = (0..100).map(|number| format!("part-{number:02}")).collect();
        let entries: Vec<(&str, &[u8], Oid)> = names
            .iter()
            .enumerate()
            .map(|(number, name)| ("40000", name.as_bytes(), if number == 0 { first } else { plain }))
            .collect();
        tree(&repository, &entries)
    };
    let base = commit(&repository, side(plain), &[]);
    let [ours, theirs] = [one, two].map(|first| id(commit(&repository, side(first), &[base])));
    assert!(matches!(
        fixture.hub.merge(&ours, &theirs).unwrap(),
        MergeOutcome::Clean(CleanMerge {
            engine: MergeEngine::Fast,
            ..
        })
    ));
    assert_eq!(fixture.hub.paths(&ours).unwrap().len(), 100_000);

    let place = fixture.place("many");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    write(&place.join("generated/first"), "same");
    for number in 1..100_000 {
        let directory = place.join(format!("generated/{}", number / 1_000));
        if number % 1_000 == 1 {
            fs::create_dir_all(directory.join("in")).unwrap();
        }
        fs::hard_link(
            place.join("generated/first"),
            directory.join("in").join(number.to_string()),
        )
        .unwrap_or_else(|_| {
            // Some file systems bear few links to one file.
            write(&directory.join("in").join(number.to_string()), "same");
        });
    }
    let error = snapshot(&fixture, &place, &TreeLimits::default()).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::Refused(WalkError::TooManyFiles { limit: 20_000, .. })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("max_changed_files"), "{error}");
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_by_its_size_and_merged_without_being_read() {
    let fixture = Fixture::new();
    let place = fixture.place("large");
    fixture
        .hub
        .add_worktree(&place, &WorktreeStart::At(fixture.base.clone()))
        .unwrap();
    let large = fs::File::create(place.join("core.dump")).unwrap();
    large.set_len(100 << 20).unwrap();
    let error = snapshot(&fixture, &place, &TreeLimits::default()).unwrap_err();
    assert!(
        error.to_string().contains("core.dump") && error.to_string().contains("104857600"),
        "{error}"
    );

    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let [small, other] = [&b"x"[..], b"y"].map(|content| repository.blob(content).unwrap());
    let large = repository.blob(&vec![b'a'; 100 << 20]).unwrap();
    let with =
        |large: Oid, parents: &[Oid]| commit(&repository, tree(&repository, &[("100644", b"large", large)]), parents);
    let base = with(large, &[]);
    let (ours, theirs) = (with(small, &[base]), with(other, &[base]));
    let beside = tree(
        &repository,
        &[("100644", b"beside", small), ("100644", b"large", large)],
    );
    let beside = commit(&repository, beside, &[base]);
    assert!(matches!(
        fixture.hub.merge(&id(ours), &id(beside)).unwrap(),
        MergeOutcome::Clean(CleanMerge {
            engine: MergeEngine::Fast,
            ..
        })
    ));
    let merged = with(small, &[ours, theirs]);
    repository.reference("refs/heads/audited", merged, true, "").unwrap();
    let report = merge_audit(fixture.hub.path(), None, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.conflict, report.wrong), (1, 0));
    assert_eq!(report.gave_up_because.get(&GaveUp::NotText), Some(&1));
}
