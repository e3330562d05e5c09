use crate::support::{Fixture, fingerprint, result_on, stamp, write};
use git::{DeliverError, Delivered, FastForward, SkipReason, deliver_branch, fast_forward};
use std::fs;

const BRANCH: &str = "orchestrator/abc";

#[test]
fn a_branch_is_created_updated_and_left() {
    let fixture = Fixture::new();
    let first = result_on(&fixture, &fixture.base, "one");
    let second = result_on(&fixture, &first, "two");
    let deliver = |commit| deliver_branch(&fixture.user.path, &fixture.hub, commit, BRANCH).unwrap();
    assert_eq!(deliver(&first), Delivered::Created);
    assert_eq!(deliver(&first), Delivered::Already);
    assert_eq!(deliver(&second), Delivered::Updated);
    assert_eq!(fixture.user.git(&["rev-parse", BRANCH]), second.0);
    assert_eq!(fixture.user.git(&["show", &format!("{BRANCH}:result/two")]), "done");
    fixture.user.git(&["fsck", "--full", "--strict"]);
}

#[test]
fn a_delivery_touches_nothing_but_the_branch() {
    let fixture = Fixture::new();
    fixture.user.write("README.md", "uncommitted\n");
    fixture.user.write("staged", "staged\n");
    fixture.user.git(&["add", "staged"]);
    let commit = result_on(&fixture, &fixture.base, "one");
    let before = fingerprint(&fixture.user.path);
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let after = fingerprint(&fixture.user.path);
    let touched: Vec<_> = after
        .iter()
        .filter(|file| !before.contains(file))
        .map(|(path, _)| path.clone())
        .collect();
    for path in &touched {
        let path = path.strip_prefix(&fixture.user.path).unwrap().to_str().unwrap();
        let expected = path.starts_with(".git/objects/pack/") || path.ends_with(BRANCH);
        assert!(expected, "{path} was touched");
    }
    assert!(!touched.is_empty());
    assert!(before.iter().all(|file| after.contains(file)));
}

#[test]
fn a_branch_with_other_work_or_in_use_is_left_alone() {
    let fixture = Fixture::new();
    let first = result_on(&fixture, &fixture.base, "one");
    let second = result_on(&fixture, &first, "two");
    fixture.user.git(&["checkout", "-q", "-b", BRANCH]);
    fixture.user.write("mine", "mine\n");
    let mine = fixture.user.commit("mine");
    let error = deliver_branch(&fixture.user.path, &fixture.hub, &first, BRANCH).unwrap_err();
    assert!(
        matches!(&error, DeliverError::Moved { found: Some(found), .. } if *found == mine),
        "{error}"
    );
    fixture.user.git(&["checkout", "-q", "main"]);
    fixture.user.git(&["branch", "-q", "-D", BRANCH]);
    deliver_branch(&fixture.user.path, &fixture.hub, &first, BRANCH).unwrap();
    let linked = fixture.directory.path().join("linked");
    fixture
        .user
        .git(&["worktree", "add", "-q", linked.to_str().unwrap(), BRANCH]);
    let error = deliver_branch(&fixture.user.path, &fixture.hub, &second, BRANCH).unwrap_err();
    assert!(matches!(error, DeliverError::CheckedOut { .. }), "{error}");
}

#[test]
fn a_branch_in_the_way_of_the_name_is_named() {
    let fixture = Fixture::new();
    fixture.user.git(&["branch", "orchestrator"]);
    let commit = result_on(&fixture, &fixture.base, "one");
    let error = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap_err();
    assert!(
        matches!(&error, DeliverError::NameTaken { existing, .. } if existing == "orchestrator"),
        "{error}"
    );
}

#[test]
fn clean_checkout_is_fast_forwarded_once() {
    let fixture = Fixture::new();
    let commit = result_on(&fixture, &fixture.base, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    fixture.user.write("untracked", "mine\n");
    for _ in 0..2 {
        assert_eq!(
            fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap(),
            FastForward::Done
        );
    }
    assert_eq!(fixture.user.head(), commit);
    assert_eq!(fixture.user.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(fixture.user.read("README.md"), "one\n");
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "?? untracked");
}

#[test]
fn fast_forward_is_finished_after_a_crash() {
    let fixture = Fixture::new();
    let commit = result_on(&fixture, &fixture.base, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    fixture.user.write("README.md", "one\n");
    assert_eq!(
        fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap(),
        FastForward::Done
    );
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");
    assert_eq!(fixture.user.head(), commit);
}

#[test]
fn only_locks_that_a_crash_of_ours_left_are_removed() {
    let fixture = Fixture::new();
    let commit = result_on(&fixture, &fixture.base, "one");
    let git = fixture.user.path.join(".git");
    let branch_lock = git.join(format!("refs/heads/{BRANCH}.lock"));
    let (main_lock, index_lock) = (git.join("refs/heads/main.lock"), git.join("index.lock"));
    let deliver = || deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH);
    let forward = || fast_forward(&fixture.user.path, &fixture.base, &commit);

    // Before the rename, and after the link.
    for expected in [Delivered::Created, Delivered::Already] {
        write(&branch_lock, format!("{commit}\n"));
        assert_eq!(deliver().unwrap(), expected);
        assert!(!branch_lock.exists());
    }

    // Half a pack, and one that a living process writes.
    let packs = ["pack_git2_dead", "pack_git2_deadidx.lock", "pack_git2_living"]
        .map(|name| git.join("objects/pack").join(name));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let open = packs.each_ref().map(|pack| {
        write(pack, "half");
        let file = fs::File::options().write(true).open(pack).unwrap();
        file.set_modified(long_ago).unwrap();
        file
    });
    let [dead, dead_index, living] = open;
    drop((dead, dead_index));
    deliver().unwrap();
    assert_eq!(packs.each_ref().map(|pack| pack.exists()), [false, false, true]);
    drop(living);

    // The person's own git is at work.
    write(&main_lock, format!("{}\n", fixture.base));
    assert!(matches!(
        forward(),
        Ok(FastForward::Skipped(SkipReason::Locked(lock))) if lock.path == main_lock
    ));
    assert_eq!(fixture.user.read("README.md"), "hello\n");
    fs::remove_file(&main_lock).unwrap();
    fixture.user.git(&["reset", "-q", "--hard"]);
    write(&index_lock, "");
    assert!(matches!(
        forward(),
        Ok(FastForward::Skipped(SkipReason::Locked(lock))) if lock.path == index_lock
    ));
    assert!(index_lock.exists());
    assert_eq!(fixture.user.read("README.md"), "hello\n");
    fs::remove_file(&index_lock).unwrap();

    // Ours, of a life that ended at its work.
    write(&main_lock, format!("{commit}\n"));
    let own = git.join("orchestrator-index-lock");
    write(&own, "");
    fs::hard_link(&own, &index_lock).unwrap();
    write(&git.join("orchestrator-index"), "half");
    assert_eq!(forward().unwrap(), FastForward::Done);
    assert_eq!(fixture.user.head(), commit);
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");

    // After its work.
    write(&own, "");
    fs::hard_link(&own, &index_lock).unwrap();
    assert_eq!(forward().unwrap(), FastForward::Done);
    for left in [main_lock, index_lock, own, git.join("orchestrator-index")] {
        assert!(!left.exists(), "{}", left.display());
    }
}

#[test]
fn a_checkout_that_is_not_clean_and_on_the_base_is_left_alone() {
    let fixture = Fixture::new();
    let commit = result_on(&fixture, &fixture.base, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let skipped = || match fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap() {
        FastForward::Skipped(reason) => reason,
        FastForward::Done => panic!("it was moved"),
    };
    fixture.user.write("src/two.txt", "uncommitted\n");
    assert!(matches!(skipped(), SkipReason::Dirty { path } if path == "src/two.txt".into()));
    fixture.user.git(&["checkout", "-q", "src/two.txt"]);
    fixture.user.write("result/one", "in the way\n");
    assert!(matches!(skipped(), SkipReason::Dirty { .. }));
    fixture.user.write(".git/info/exclude", "result/\n");
    assert!(
        matches!(skipped(), SkipReason::Dirty { .. }),
        "ignored files are the user's as well"
    );
    fs::remove_dir_all(fixture.user.path.join("result")).unwrap();
    fixture.user.git(&["checkout", "-q", "--detach"]);
    assert_eq!(skipped(), SkipReason::Detached);
    fixture.user.git(&["checkout", "-q", "main"]);
    fixture.user.write("mine", "mine\n");
    let mine = fixture.user.commit("mine");
    assert!(matches!(skipped(), SkipReason::NotOnBase { at, .. } if at == mine));
    assert_eq!(fixture.user.head(), mine);
}

#[test]
fn files_that_go_through_a_filter_are_left_to_the_users_git() {
    let fixture = Fixture::with(|user| {
        user.write(".gitattributes", "result/* filter=lfs\n");
        user.write("README.md", "x\n");
    });
    let commit = result_on(&fixture, &fixture.base, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let outcome = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert!(
        matches!(outcome, FastForward::Skipped(SkipReason::Filtered { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_repository_without_commits_receives_branch_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let user = crate::support::UserRepository::init(&directory.path().join("user"));
    let hub = git::Hub::open_or_create(&directory.path().join("data/hub"), &user.path).unwrap();
    let base = hub.empty_root(&stamp("root")).unwrap();
    let fixture = Fixture {
        directory,
        user,
        hub,
        base,
    };
    let commit = result_on(&fixture, &fixture.base, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    assert_eq!(
        fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap(),
        FastForward::Done
    );
    assert_eq!(fixture.user.read("result/one"), "done\n");
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");
}
