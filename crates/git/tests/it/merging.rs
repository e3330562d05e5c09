use crate::support::{Fixture, make_executable, merged_by_git, numbered, stamp, with_line, write};
use domain::CommitId;
use git::{CleanMerge, Conflict, ConflictKind, MergeEngine, MergeOutcome, RepoPath, Resolution, ResolveError};
use std::{fs, os::unix::fs::symlink};

fn clean(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> CleanMerge {
    match fixture.hub.merge(ours, theirs).unwrap() {
        MergeOutcome::Clean(clean) => clean,
        other => panic!("{other:?}"),
    }
}

fn conflict(fixture: &Fixture, ours: &CommitId, theirs: &CommitId) -> Conflict {
    match fixture.hub.merge(ours, theirs).unwrap() {
        MergeOutcome::Conflicted(conflict) => conflict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn disjoint_changes_are_merged_fast_and_edits_in_one_file_too() {
    let fixture = Fixture::new();
    let ours = fixture.commit_on(&fixture.base, |user| {
        user.write("ours.txt", "ours\n");
        user.write("src/one.txt", with_line(&numbered(30), 2, "ours"));
        fs::remove_file(user.path.join("src/two.txt")).unwrap();
    });
    let theirs = fixture.commit_on(&fixture.base, |user| {
        user.write("theirs/file.txt", "theirs\n");
        user.write("src/one.txt", with_line(&numbered(30), 28, "theirs"));
    });
    let merged = clean(&fixture, &ours, &theirs);
    assert_eq!(merged.engine, MergeEngine::Fast);
    assert_eq!(merged.tree, merged_by_git(&fixture, &ours, &theirs));
    let commit = || {
        fixture
            .hub
            .commit_merge(&merged.tree, &ours, &theirs, &stamp("merge"))
            .unwrap()
    };
    assert_eq!(commit(), commit());
    let entry = fixture.hub.log(None, &commit(), 1).unwrap().remove(0);
    assert_eq!(entry.parents, [ours.clone(), theirs.clone()]);
    assert_eq!(
        fixture.hub.merge(&commit(), &theirs).unwrap(),
        MergeOutcome::AlreadyMerged
    );
}

#[test]
fn a_rename_that_meets_an_edit_goes_to_git_and_keeps_both() {
    let fixture = Fixture::new();
    let ours = fixture.commit_on(&fixture.base, |user| {
        user.git(&["mv", "src/one.txt", "moved.txt"]);
    });
    let theirs = fixture.commit_on(&fixture.base, |user| {
        user.write("src/one.txt", with_line(&numbered(30), 5, "five"))
    });
    let merged = clean(&fixture, &ours, &theirs);
    assert_eq!(merged.engine, MergeEngine::Ort);
    let commit = fixture
        .hub
        .commit_merge(&merged.tree, &ours, &theirs, &stamp("merge"))
        .unwrap();
    let content = fixture.hub.read_file(&commit, &"moved.txt".into()).unwrap().unwrap();
    assert!(String::from_utf8(content).unwrap().contains("five\n"));
}

#[test]
fn unrelated_histories_are_refused() {
    let fixture = Fixture::new();
    let root = fixture.hub.empty_root(&stamp("root")).unwrap();
    assert_eq!(
        fixture.hub.merge(&fixture.base, &root).unwrap(),
        MergeOutcome::NoMergeBase
    );
}

#[test]
fn attributes_anywhere_on_the_path_send_contents_to_git() {
    for (file, rule, fast) in [
        (".gitattributes", "*.txt merge=union\n", false),
        ("src/.gitattributes", "one.txt -merge\n", false),
        ("src/.gitattributes", "*.md merge=union\n", true),
        (".gitattributes", "* binary\n", false),
        (".gitattributes", "src/* filter=x\n", true),
        (".gitattributes", "src/* text eol=crlf\n", true),
        (".gitattributes", "[attr]odd text\nsrc/*.txt odd\n", true),
        (".gitattributes", "[attr]odd -merge\nsrc/*.txt odd\n", false),
        (".gitattributes", "\"src/one.txt\" -merge\n", false),
        (".gitattributes", "* text=auto\n", true),
        (".gitattributes", "# *.txt merge=union\nother.txt -merge\n", true),
    ] {
        let fixture = Fixture::with(|user| {
            user.write("src/one.txt", numbered(30));
            user.write(file, rule);
        });
        let edit = |line: usize, text: &str| {
            fixture.commit_on(&fixture.base, |user| {
                user.write("src/one.txt", with_line(&numbered(30), line, text))
            })
        };
        let (ours, theirs) = (edit(2, "ours"), edit(29, "theirs"));
        let outcome = fixture.hub.merge(&ours, &theirs).unwrap();
        let was_fast = matches!(
            &outcome,
            MergeOutcome::Clean(CleanMerge {
                engine: MergeEngine::Fast,
                ..
            })
        );
        assert_eq!(was_fast, fast, "{rule:?}: {outcome:?}");
    }
}

#[test]
fn built_in_attribute_drivers_work_in_the_bare_hub() {
    let fixture = Fixture::with(|user| {
        user.write(".gitattributes", "log.txt merge=union\n");
        user.write("log.txt", "one\n");
    });
    let ours = fixture.commit_on(&fixture.base, |user| user.write("log.txt", "one\nours\n"));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write("log.txt", "one\ntheirs\n"));
    let merged = clean(&fixture, &ours, &theirs);
    let commit = fixture
        .hub
        .commit_merge(&merged.tree, &ours, &theirs, &stamp("merge"))
        .unwrap();
    let content = fixture.hub.read_file(&commit, &"log.txt".into()).unwrap().unwrap();
    assert_eq!(String::from_utf8(content).unwrap(), "one\nours\ntheirs\n");
}

#[test]
fn each_conflict_has_its_kind_and_versions() {
    let fixture = Fixture::with(|user| {
        for name in ["content", "deleted", "renamed", "binary", "link"] {
            user.write(name, format!("{name}\n{}", numbered(10)));
        }
        user.write("binary", b"\0base");
    });
    let change = |word: &'static str| {
        move |user: &crate::support::UserRepository| {
            user.write("content", format!("{word}\n{}", numbered(10)));
            user.write("added", format!("{word}\n"));
            user.write("binary", format!("\0{word}"));
            user.git(&["mv", "renamed", &format!("renamed-{word}")]);
            fs::remove_file(user.path.join("link")).unwrap();
            symlink(word, user.path.join("link")).unwrap();
            match word {
                "ours" => fs::remove_file(user.path.join("deleted")).unwrap(),
                _ => user.write("deleted", "changed\n"),
            }
        }
    };
    let ours = fixture.commit_on(&fixture.base, change("ours"));
    let theirs = fixture.commit_on(&fixture.base, change("theirs"));
    let found = conflict(&fixture, &ours, &theirs);
    let kinds: Vec<(String, ConflictKind)> = found
        .files
        .iter()
        .map(|file| (file.path.to_string(), file.kind))
        .collect();
    let expected = [
        ("added", ConflictKind::AddAdd),
        ("binary", ConflictKind::Binary),
        ("content", ConflictKind::Content),
        ("deleted", ConflictKind::ModifyDelete),
        ("link", ConflictKind::Symlink),
        ("renamed", ConflictKind::RenameRename),
        ("renamed-ours", ConflictKind::RenameRename),
        ("renamed-theirs", ConflictKind::RenameRename),
    ];
    assert_eq!(kinds, expected.map(|(path, kind)| (path.to_owned(), kind)));
    let content = &found.files[2];
    let read = |version: &Option<git::Version>| fixture.hub.read_blob(&version.as_ref().unwrap().blob).unwrap();
    assert!(read(&content.base).starts_with(b"content\n"));
    assert!(read(&content.ours).starts_with(b"ours\n"));
    assert!(read(&content.theirs).starts_with(b"theirs\n"));
    assert_eq!(found.base, Some(fixture.base.clone()));
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Conflict>(&text).unwrap(), found);
}

#[test]
fn a_resolution_needs_every_path_and_no_markers() {
    let fixture = Fixture::with(|user| {
        user.write("a/b/one.sh", "one\n");
        user.write("two", "two\n");
        user.write("gone/only", "gone\n");
    });
    let ours = fixture.commit_on(&fixture.base, |user| {
        user.write("a/b/one.sh", "ours\n");
        user.write("two", "ours\n");
        user.write("gone/only", "ours\n");
    });
    let theirs = fixture.commit_on(&fixture.base, |user| {
        write(&user.path.join("a/b/one.sh"), "theirs\n");
        make_executable(&user.path.join("a/b/one.sh"));
        user.write("two", "theirs\n");
        user.write("clean", "clean\n");
        fs::remove_file(user.path.join("gone/only")).unwrap();
    });
    let found = conflict(&fixture, &ours, &theirs);
    let path = |text: &str| RepoPath::from(text);
    let content = |text: &str| Resolution::Content(text.as_bytes().to_vec());
    let resolve = |resolutions: Vec<(RepoPath, Resolution)>| fixture.hub.with_resolutions(&found, resolutions);

    let some = vec![(path("two"), content("both\n"))];
    assert!(matches!(resolve(some).unwrap_err(), ResolveError::Unresolved { path } if path == "a/b/one.sh".into()));
    let all = |one: &str| {
        let two = found
            .files
            .iter()
            .find(|file| file.path == "two".into())
            .and_then(|file| file.theirs.clone())
            .unwrap();
        let last = (path("gone/only"), Resolution::Delete);
        vec![
            (path("a/b/one.sh"), content(one)),
            (path("two"), Resolution::Version(two)),
            last,
        ]
    };
    let marked = all("<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\n");
    assert!(matches!(
        resolve(marked).unwrap_err(),
        ResolveError::MarkersLeft { line: 1, .. }
    ));
    let mut strange = all("x\n");
    strange.push((path("clean"), content("x\n")));
    assert!(matches!(resolve(strange).unwrap_err(), ResolveError::Unexpected { path } if path == "clean".into()));

    let tree = resolve(all("both\n")).unwrap();
    let commit = fixture
        .hub
        .commit_merge(&tree, &ours, &theirs, &stamp("merge"))
        .unwrap();
    let listed = crate::support::git_in(
        fixture.hub.path(),
        &["ls-tree", "-r", "--format=%(objectmode) %(path)", &commit.0],
    );
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout),
        "100755 a/b/one.sh\n100644 clean\n100644 two\n"
    );
    let read = |name: &str| fixture.hub.read_file(&commit, &name.into()).unwrap();
    assert_eq!(read("a/b/one.sh"), Some(b"both\n".to_vec()));
    assert_eq!(read("two"), Some(b"theirs\n".to_vec()));
}

#[test]
fn marker_like_lines_that_a_side_has_are_content() {
    let document = "Title\n<<<<<<< shown in the manual\n";
    let fixture = Fixture::with(|user| user.write("manual", "base\n"));
    let ours = fixture.commit_on(&fixture.base, |user| user.write("manual", document));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write("manual", "theirs\n"));
    let found = conflict(&fixture, &ours, &theirs);
    let resolution = vec![("manual".into(), Resolution::Content(document.into()))];
    assert!(fixture.hub.with_resolutions(&found, resolution).is_ok());
}
