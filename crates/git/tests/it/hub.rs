use crate::support::{Fixture, fingerprint, git_in, stamp, write};
use domain::{CommitId, RunId, TaskKey};
use git::{GitError, Hub, refs};
use std::{fs, os::unix::fs::MetadataExt};

#[test]
fn making_a_hub_leaves_the_users_repository_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let user = crate::support::UserRepository::init(&directory.path().join("user"));
    user.write("a", "a\n");
    user.commit("one");
    let before = fingerprint(&user.path);
    Hub::open_or_create(&directory.path().join("hub"), &user.path).unwrap();
    assert_eq!(fingerprint(&user.path), before);
}

#[test]
fn a_hub_links_objects_and_survives_the_users_clean_up() {
    let fixture = Fixture::new();
    let object = format!("objects/{}/{}", &fixture.base.0[..2], &fixture.base.0[2..]);
    let ours = fs::metadata(fixture.hub.path().join(&object)).unwrap();
    let theirs = fs::metadata(fixture.user.path.join(".git").join(&object)).unwrap();
    assert_eq!(ours.ino(), theirs.ino());
    assert!(!fixture.hub.path().join("objects/info/alternates").exists());

    fs::remove_dir_all(&fixture.user.path).unwrap();
    let check = git_in(fixture.hub.path(), &["fsck", "--full", "--strict"]);
    assert!(check.status.success(), "{check:?}");
    assert!(fixture.hub.tree_of(&fixture.base).is_ok());
}

#[test]
fn packed_alternate_and_linked_worktree_repositories_become_hubs() {
    let fixture = Fixture::new();
    fixture.user.git(&["gc", "-q"]);
    let shared = fixture.directory.path().join("shared");
    fixture
        .user
        .git(&["clone", "-q", "--shared", ".", shared.to_str().unwrap()]);
    let linked = fixture.directory.path().join("linked");
    fixture.user.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    for (name, source) in [("packed", &fixture.user.path), ("shared", &shared), ("linked", &linked)] {
        let hub = Hub::open_or_create(&fixture.directory.path().join("hubs").join(name), source).unwrap();
        assert_eq!(hub.resolve("HEAD").unwrap(), fixture.base, "{name}");
        let check = git_in(hub.path(), &["fsck", "--full"]);
        assert!(check.status.success(), "{name}: {check:?}");
        assert!(!hub.path().join("objects/info/alternates").exists());
    }
}

#[test]
fn a_shallow_clone_becomes_a_hub_and_may_be_deepened() {
    let fixture = Fixture::new();
    for number in 0..3 {
        fixture.user.write("README.md", format!("{number}\n"));
        fixture.user.commit("more");
    }
    let shallow = fixture.directory.path().join("shallow");
    let url = format!("file://{}", fixture.user.path.display());
    fixture
        .user
        .git(&["clone", "-q", "--depth", "1", &url, shallow.to_str().unwrap()]);
    let hub = Hub::open_or_create(&fixture.directory.path().join("shallow-hub"), &shallow).unwrap();
    let head = hub.resolve("HEAD").unwrap();
    assert_eq!(hub.log(None, &head, 10).unwrap().len(), 1);
    assert!(git_in(&shallow, &["fetch", "-q", "--unshallow"]).status.success());
    hub.refresh(&shallow).unwrap();
    let hub = Hub::open(hub.path()).unwrap();
    assert_eq!(hub.log(None, &head, 10).unwrap().len(), 4);
}

#[test]
fn unfinished_hub_is_made_again() {
    let fixture = Fixture::new();
    let parent = fixture.directory.path().join("other");
    write(&parent.join(".hub.making/objects/ab/partial"), "half an object");
    let hub = Hub::open_or_create(&parent.join("hub"), &fixture.user.path).unwrap();
    assert_eq!(hub.resolve("main").unwrap(), fixture.base);
    assert!(!parent.join(".hub.making").exists());
}

#[test]
fn several_makers_make_one_hub() {
    let fixture = Fixture::new();
    let place = fixture.directory.path().join("raced/hub");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                Hub::open_or_create(&place, &fixture.user.path)
                    .unwrap()
                    .resolve("main")
                    .unwrap()
            });
        }
    });
}

#[test]
fn other_directory_in_place_of_the_hub_stays() {
    let fixture = Fixture::new();
    let stranger = fixture.directory.path().join("stranger");
    write(&stranger.join("precious"), "data");
    let error = Hub::open_or_create(&stranger, &fixture.user.path).err().unwrap();
    assert!(matches!(error, GitError::NotAHub { .. }), "{error}");
    let error = Hub::open_or_create(&fixture.user.path.join(".git"), &fixture.user.path)
        .err()
        .unwrap();
    assert!(matches!(error, GitError::NotAHub { .. }), "{error}");
    assert!(stranger.join("precious").exists());
}

#[test]
fn a_refresh_brings_new_commits_and_never_moves_our_branches() {
    let fixture = Fixture::new();
    let run = RunId::new();
    fixture.hub.create_branch(&refs::branch(&run), &fixture.base).unwrap();
    fixture.user.write("new", "new\n");
    let newer = fixture.user.commit("newer");
    fixture.user.git(&["branch", &refs::branch(&run)]);
    fixture.user.git(&["tag", "v1"]);
    fixture.hub.refresh(&fixture.user.path).unwrap();
    assert_eq!(fixture.hub.resolve("main").unwrap(), newer);
    assert_eq!(fixture.hub.resolve("v1").unwrap(), newer);
    assert_eq!(fixture.hub.resolve("main~1").unwrap(), fixture.base);
    assert_eq!(fixture.hub.resolve(newer.short()).unwrap(), newer);
    assert_eq!(
        fixture.hub.tip(&refs::integration(&run)).unwrap(),
        Some(fixture.base.clone())
    );
}

#[test]
fn a_detached_head_that_no_branch_reaches_is_brought_in() {
    let fixture = Fixture::new();
    fixture.user.git(&["checkout", "-q", "--detach"]);
    fixture.user.write("loose", "end\n");
    let commit = fixture.user.commit("on no branch");
    fixture.hub.refresh(&fixture.user.path).unwrap();
    assert_eq!(fixture.hub.resolve("HEAD").unwrap(), commit);
}

#[test]
fn an_unknown_name_is_an_error_with_the_name() {
    let fixture = Fixture::new();
    for name in ["no-such-branch", "", "deadbeef", "main~99", "@{", "..", "-x"] {
        let found = fixture.hub.resolve(name);
        match found {
            Err(GitError::UnknownRevision { revision }) => assert_eq!(revision, name),
            other => assert_eq!((name, other.unwrap()), ("", fixture.base.clone())),
        }
    }
}

#[test]
fn a_pin_is_made_once_and_never_moved() {
    let fixture = Fixture::new();
    let other = fixture.hub.empty_root(&stamp("root")).unwrap();
    let reference = refs::submission(&RunId::new(), &TaskKey::from("task"), &fixture.base);
    fixture.hub.pin(&reference, &fixture.base).unwrap();
    fixture.hub.pin(&reference, &fixture.base).unwrap();
    let error = fixture.hub.pin(&reference, &other).unwrap_err();
    assert!(
        matches!(&error, GitError::Moved { found: Some(found), .. } if *found == fixture.base),
        "{error}"
    );
    assert!(fixture.hub.unpin(&reference, &other).is_err());
    fixture.hub.unpin(&reference, &fixture.base).unwrap();
    fixture.hub.unpin(&reference, &fixture.base).unwrap();
    assert_eq!(fixture.hub.tip(&reference).unwrap(), None);
}

#[test]
fn the_references_of_a_run_are_listed_and_no_others() {
    let fixture = Fixture::new();
    let (run, other, task) = (RunId::new(), RunId::new(), TaskKey::from("task"));
    let pins = [
        refs::attempt(&run, &task, 1),
        refs::base(&run),
        refs::submission(&run, &task, &fixture.base),
    ];
    for pin in pins.iter().chain([&refs::base(&other)]) {
        fixture.hub.pin(pin, &fixture.base).unwrap();
    }
    let found = fixture.hub.references(&refs::all_of(&run)).unwrap();
    let mut names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    assert_eq!(names, pins);
    assert!(found.iter().all(|(_, commit)| *commit == fixture.base));
}

#[test]
fn the_same_stamp_on_the_same_tree_is_the_same_commit() {
    let fixture = Fixture::new();
    let tree = fixture.hub.tree_of(&fixture.base).unwrap();
    let make = || {
        fixture
            .hub
            .commit_tree(&tree, std::slice::from_ref(&fixture.base), &stamp("again"))
            .unwrap()
    };
    assert_eq!(make(), make());
    let error = fixture
        .hub
        .commit_tree(&tree, &[CommitId("0".repeat(40))], &stamp("x"))
        .unwrap_err();
    assert!(error.to_string().contains("parent"), "{error}");
}

#[test]
fn a_repository_without_commits_becomes_a_hub_with_an_empty_root() {
    let directory = tempfile::tempdir().unwrap();
    let user = crate::support::UserRepository::init(&directory.path().join("user"));
    let hub = Hub::open_or_create(&directory.path().join("hub"), &user.path).unwrap();
    assert!(hub.resolve("HEAD").is_err());
    let root = hub.empty_root(&stamp("root")).unwrap();
    assert_eq!(hub.log(None, &root, 5).unwrap().len(), 1);
}

#[test]
fn history_is_read_as_it_is() {
    let fixture = Fixture::new();
    let change = fixture.commit_on(&fixture.base, |user| {
        user.write("src/two.txt", "new\nlines\n");
        user.write("added/file.txt", "x\n");
        fs::remove_file(user.path.join("README.md")).unwrap();
    });
    let paths = fixture.hub.changed_paths(&fixture.base, &change).unwrap();
    assert_eq!(
        paths,
        ["README.md", "added/file.txt", "src/two.txt"].map(git::RepoPath::from)
    );
    let path = "src/two.txt".into();
    let diff = |limit| fixture.hub.file_diff(&fixture.base, &change, &path, limit).unwrap();
    assert!(diff(1 << 20).contains("+new\n+lines\n"), "{}", diff(1 << 20));
    assert_eq!(diff(100).len(), 100);
    let read = |path: &str| fixture.hub.read_file(&change, &path.into()).unwrap();
    assert_eq!(read("added/file.txt"), Some(b"x\n".to_vec()));
    assert_eq!(
        (read("added"), read("README.md"), read("added/file.txt/x")),
        (None, None, None)
    );
    assert!(fixture.hub.holds(&fixture.base, &change).unwrap());
    assert!(!fixture.hub.holds(&change, &fixture.base).unwrap());
}
