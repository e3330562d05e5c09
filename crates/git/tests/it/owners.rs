//! Who owns what a delivery writes, and who may deliver at all.

use crate::support::{Fixture, UserRepository, git_in, on_base, stamp};
use git::{Delivered, FastForward, WorkspaceError, deliver_branch, fast_forward, inspect};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, lchown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

const BRANCH: &str = "orchestrator/abc";
/// An account that no machine has.
const OWNER: u32 = 12_345;
const GROUP: u32 = 12_346;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can work on a repository of another account");
    }
    is_root
}

/// Every file and directory below, without following links.
fn all_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while next < found.len() {
        if found[next].symlink_metadata().unwrap().is_dir() {
            let entries = fs::read_dir(&found[next]).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        next += 1;
    }
    found
}

fn give_away(directory: &Path) {
    for path in all_below(directory) {
        lchown(&path, Some(OWNER), Some(GROUP)).unwrap();
    }
}

/// A repository in a place that every account can enter.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fs::set_permissions(fixture.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fixture
}

/// libgit2 and git as root take a repository of another account only if its path is named.
fn trusted(repository: &Path) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let setting = format!("[safe]\n\tdirectory = {}\n", repository.display());
    fs::write(home.path().join(".gitconfig"), setting).unwrap();
    home
}

/// Runs one of these tests again in a process of its own: libgit2 reads HOME once.
fn again(name: &str, home: &Path, place: &Path, change: impl FnOnce(&mut Command)) {
    // Where other accounts can run it.
    let program = home.join("again");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", &format!("owners::{name}"), "--nocapture", "--test-threads=1"])
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("GIT_TEST_PLACE", place);
    change(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// In the second process: the fixture that the first one made.
fn given() -> Option<PathBuf> {
    std::env::var_os("GIT_TEST_PLACE").map(PathBuf::from)
}

#[test]
fn files_that_root_writes_belong_to_the_repositorys_owner() {
    if let Some(place) = given() {
        return deliver_in(&place);
    }
    if !is_root() {
        return;
    }
    for preparation in [
        &["config", "core.logAllRefUpdates", "true"][..],
        &["config", "core.sharedRepository", "group"],
        &["update-index", "--split-index"],
        &["sparse-checkout", "set", "--cone", "src", "result"],
    ] {
        println!("{preparation:?}");
        let fixture = fixture();
        fixture.user.git(preparation);
        give_away(&fixture.user.path);
        let before: BTreeSet<PathBuf> = all_below(&fixture.user.path).into_iter().collect();
        let home = trusted(&fixture.user.path);
        let name = "files_that_root_writes_belong_to_the_repositorys_owner";
        again(name, home.path(), fixture.directory.path(), |_| {});
        let mut new = 0;
        for path in all_below(&fixture.user.path) {
            let metadata = path.symlink_metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (OWNER, GROUP), "{}", path.display());
            new += usize::from(!before.contains(&path));
        }
        assert!(new > 5, "{new} new files");
        // The owner goes on.
        let output = Command::new("git")
            .current_dir(&fixture.user.path)
            .args([
                "-c",
                "user.name=o",
                "-c",
                "user.email=o@o",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "mine",
            ])
            .env("HOME", "/nonexistent")
            .uid(OWNER)
            .gid(GROUP)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn deliver_in(place: &Path) {
    let user = UserRepository {
        path: place.join("user").canonicalize().unwrap(),
    };
    let hub = git::Hub::open(&place.join("data/hub")).unwrap();
    let base = hub.resolve("main").unwrap();
    let fixture = Fixture {
        directory: tempfile::TempDir::with_prefix("unused").unwrap(),
        user,
        hub,
        base,
    };
    let commit = on_base(&fixture, "one");
    let delivered = deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH);
    assert_eq!(delivered.unwrap(), Delivered::Created);
    let moved = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert_eq!(moved, FastForward::Done);
    // Again is fine, and so is a branch that someone else moved.
    assert_eq!(
        deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap(),
        Delivered::Already
    );
}

#[test]
fn shared_repository_stays_open_to_its_group() {
    let fixture = Fixture::with(|user| {
        user.git(&["config", "core.sharedRepository", "group"]);
        for path in all_below(&user.path.join(".git")) {
            let mode = if path.is_dir() { 0o2775 } else { 0o664 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        user.write("README.md", "hello\n");
    });
    let commit = on_base(&fixture, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    let git = fixture.user.path.join(".git");
    for path in all_below(&git.join("refs"))
        .into_iter()
        .chain([git.join("objects/pack"), git.join("index")])
    {
        let mode = path.metadata().unwrap().mode();
        assert_eq!(mode & 0o060, 0o060, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn repository_that_can_not_be_written_is_refused_before_anything_is_spent() {
    if let Some(place) = given() {
        let user = place.join("user").canonicalize().unwrap();
        let error = inspect(&user).unwrap_err();
        assert!(
            matches!(&error, WorkspaceError::ReadOnly { part, .. } if part.ends_with("objects")),
            "{error}"
        );
        assert!(error.to_string().contains("git clone"), "{error}");
        return;
    }
    if !is_root() {
        return;
    }
    // Root's repository, which an ordinary account can read and trusts.
    let fixture = fixture();
    let home = trusted(&fixture.user.path);
    give_away(home.path());
    let name = "repository_that_can_not_be_written_is_refused_before_anything_is_spent";
    again(name, home.path(), fixture.directory.path(), |command| {
        command.uid(OWNER).gid(GROUP);
    });
    // Its own, with the permission taken away.
    give_away(&fixture.user.path);
    let closed = fs::Permissions::from_mode(0o555);
    fs::set_permissions(fixture.user.path.join(".git/objects"), closed).unwrap();
    again(name, home.path(), fixture.directory.path(), |command| {
        command.uid(OWNER).gid(GROUP);
    });
    assert!(git_in(&fixture.user.path, &["--version"]).status.success());
}

#[test]
fn repository_made_under_sudo_belongs_to_the_caller() {
    if let Some(place) = given() {
        let limits = git::TreeLimits::default();
        for path in ["notes", "new/deeper"] {
            git::initialise(&place.join(path), &stamp("first"), &limits).unwrap();
            git::settle_initialised(&place.join(path)).unwrap();
        }
        return;
    }
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    fs::create_dir_all(place.join("notes")).unwrap();
    fs::write(place.join("notes/a"), "1\n").unwrap();
    give_away(&place);
    let home = tempfile::tempdir().unwrap();
    again(
        "repository_made_under_sudo_belongs_to_the_caller",
        home.path(),
        &place,
        |command| {
            command.env("SUDO_UID", OWNER.to_string());
        },
    );
    assert!(place.join("new/deeper/.git/HEAD").exists());
    for path in all_below(&place) {
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (OWNER, GROUP), "{}", path.display());
    }
}
