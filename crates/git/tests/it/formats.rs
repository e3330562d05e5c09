//! Repositories that libgit2 reads in part or not at all: each works as a whole, or is refused with a way out that works.

use crate::support::{Fixture, UserRepository, git_in, on_base, result_on, stamp, write};
use domain::CommitId;
use git::{Delivered, FastForward, Found, Hub, SkipReason, WorkspaceError, deliver_branch, fast_forward, inspect};
use std::{fs, path::Path, process::Command};

const BRANCH: &str = "orchestrator/abc";

fn base_of(user: &UserRepository) -> CommitId {
    match inspect(&user.path) {
        Ok(Found::Repository {
            head: Some(head),
            dirty: false,
            ..
        }) => head,
        other => panic!("{other:?}"),
    }
}

/// A repository with some files, made different by `prepare`, and the hub of it.
fn prepared(prepare: impl FnOnce(&UserRepository)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let user = UserRepository::init(&directory.path().join("user"));
    user.write("README.md", "hello\n");
    user.write("src/one.txt", "one\n");
    user.write("docs/two.txt", "two\n");
    user.commit("base");
    prepare(&user);
    of(directory, user)
}

fn of(directory: tempfile::TempDir, user: UserRepository) -> Fixture {
    let base = base_of(&user);
    let hub = Hub::open_or_create(&directory.path().join("data/hub"), &user.path).unwrap();
    Fixture {
        directory,
        user,
        hub,
        base,
    }
}

/// Delivers a commit and moves the checkout to it, as a run does at its end.
fn works(fixture: &Fixture) {
    let commit = on_base(fixture, "one");
    let user = &fixture.user.path;
    assert_eq!(
        deliver_branch(user, &fixture.hub, &commit, BRANCH).unwrap(),
        Delivered::Created
    );
    assert_eq!(fast_forward(user, &fixture.base, &commit).unwrap(), FastForward::Done);
    assert_eq!(fixture.user.head(), commit);
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");
    assert_eq!(fixture.user.read("README.md"), "one\n");
    assert_eq!(fixture.user.git(&["show", "HEAD:result/one"]), "done");
    fixture.user.git(&["fsck", "--full", "--strict"]);
    // And a second run on top of the first.
    fixture.hub.refresh(user).unwrap();
    let next = result_on(fixture, &commit, "two");
    assert_eq!(
        deliver_branch(user, &fixture.hub, &next, BRANCH).unwrap(),
        Delivered::Updated
    );
    assert_eq!(fast_forward(user, &commit, &next).unwrap(), FastForward::Done);
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "");
    assert!(!user.join(".git/index.lock").exists());
}

#[test]
fn index_formats_of_every_kind_work() {
    let kinds: [(&str, &[&[&str]]); 8] = [
        ("split", &[&["update-index", "--split-index"]]),
        (
            "split by configuration",
            &[&["config", "core.splitIndex", "true"], &["update-index", "--refresh"]],
        ),
        ("version 4", &[&["update-index", "--index-version", "4"]]),
        (
            "without checksum",
            &[
                &["config", "index.skipHash", "true"],
                &["update-index", "--force-write-index"],
            ],
        ),
        (
            "untracked cache",
            &[&["update-index", "--force-untracked-cache"], &["status"]],
        ),
        (
            "fsmonitor",
            &[
                &["config", "core.fsmonitor", "/bin/false"],
                &["update-index", "--fsmonitor"],
            ],
        ),
        (
            "many files",
            &[
                &["config", "feature.manyFiles", "true"],
                &["update-index", "--force-write-index"],
            ],
        ),
        (
            "end of entries",
            &[
                &["config", "index.threads", "4"],
                &["update-index", "--force-write-index"],
            ],
        ),
    ];
    for (kind, commands) in kinds {
        println!("{kind}");
        works(&prepared(|user| {
            commands.iter().for_each(|command| drop(user.git(command)))
        }));
    }
}

#[test]
fn sparse_checkouts_get_their_files_and_no_others() {
    let kinds: [&[&str]; 3] = [
        &["sparse-checkout", "set", "--cone", "src"],
        &["sparse-checkout", "set", "--cone", "--sparse-index", "src"],
        &["sparse-checkout", "set", "--no-cone", "/*", "!/docs/", "!/result/"],
    ];
    for kind in kinds {
        println!("{kind:?}");
        let fixture = prepared(|user| drop(user.git(kind)));
        works(&fixture);
        assert!(!fixture.user.path.join("docs").exists());
        assert!(!fixture.user.path.join("result").exists());
    }
}

#[test]
fn split_index_keeps_what_is_not_committed() {
    let fixture = prepared(|user| drop(user.git(&["update-index", "--split-index"])));
    let commit = on_base(&fixture, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let forward = || fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    fixture.user.write("src/one.txt", "mine\n");
    assert!(matches!(
        inspect(&fixture.user.path),
        Ok(Found::Repository { dirty: true, .. })
    ));
    assert!(matches!(forward(), FastForward::Skipped(SkipReason::Dirty { path }) if path == "src/one.txt".into()));
    fixture.user.git(&["checkout", "-q", "src/one.txt"]);
    fixture.user.write("result/one", "in the way\n");
    assert!(matches!(forward(), FastForward::Skipped(SkipReason::Dirty { .. })));
    fixture.user.write(".git/info/exclude", "result/\n");
    assert!(matches!(forward(), FastForward::Skipped(SkipReason::Dirty { .. })));
    assert_eq!(fixture.user.read("result/one"), "in the way\n");
    // A crash in the middle left files of the target.
    fixture.user.write("result/one", "done\n");
    fixture.user.write("README.md", "one\n");
    fixture.user.write("untracked", "mine\n");
    assert_eq!(forward(), FastForward::Done);
    assert_eq!(fixture.user.git(&["status", "--porcelain"]), "?? untracked");
    assert_eq!(fixture.user.head(), commit);
}

#[test]
fn moving_a_split_index_runs_no_program_of_the_configuration() {
    let fixture = prepared(|user| {
        let mark = user.path.join("../ran");
        let touch = format!("touch {}", mark.display());
        user.write(".gitattributes", "*.bin filter=mine\n");
        user.write("a.bin", "1\n");
        user.commit("attributes");
        user.git(&["update-index", "--split-index"]);
        for key in [
            "filter.mine.clean",
            "filter.mine.smudge",
            "filter.mine.process",
            "core.fsmonitor",
        ] {
            user.git(&["config", key, &touch]);
        }
        for hook in [
            "post-index-change",
            "reference-transaction",
            "post-checkout",
            "post-merge",
        ] {
            let path = user.path.join(".git/hooks").join(hook);
            write(&path, format!("#!/bin/sh\n{touch}\n"));
            crate::support::make_executable(&path);
        }
        // So that its content is looked at again.
        user.write("a.bin", "1\n");
        fs::remove_file(&mark).ok();
    });
    let commit = on_base(&fixture, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let moved = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert_eq!(moved, FastForward::Done);
    assert!(!fixture.directory.path().join("ran").exists());
}

#[test]
fn other_shapes_of_repositories_work() {
    // A linked worktree, with a configuration of its own.
    let fixture = prepared(|user| drop(user.git(&["config", "extensions.worktreeConfig", "true"])));
    let linked = fixture.directory.path().join("linked");
    fixture
        .user
        .git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    for command in [
        &["sparse-checkout", "set", "--cone", "src"][..],
        &["update-index", "--split-index"],
    ] {
        assert!(git_in(&linked, command).status.success());
    }
    let Fixture { directory, .. } = fixture;
    works(&of(
        directory,
        UserRepository {
            path: linked.canonicalize().unwrap(),
        },
    ));

    // Borrowed objects, and a submodule.
    let fixture = prepared(|_| {});
    fixture.user.git(&["clone", "-q", "--shared", ".", "../shared"]);
    let outer = UserRepository::init(&fixture.directory.path().join("outer"));
    let from = fixture.user.path.display().to_string();
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &from,
        "inner",
    ]);
    outer.commit("submodule");
    for path in ["shared", "outer", "outer/inner"] {
        println!("{path}");
        let user = UserRepository {
            path: fixture.directory.path().join(path).canonicalize().unwrap(),
        };
        works(&of(tempfile::tempdir().unwrap(), user));
    }

    // An end of history.
    let fixture = prepared(|user| drop(user.commit("more")));
    let from = format!("file://{}", fixture.user.path.display());
    fixture.user.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]);
    let user = UserRepository {
        path: fixture.directory.path().join("shallow").canonicalize().unwrap(),
    };
    works(&of(tempfile::tempdir().unwrap(), user));
}

#[test]
fn extensions_that_change_nothing_for_us_work() {
    for (extension, value) in [("noop", "1"), ("preciousObjects", "true"), ("objectFormat", "sha1")] {
        println!("{extension}");
        works(&prepared(|user| {
            user.git(&["config", "core.repositoryFormatVersion", "1"]);
            user.git(&["config", &format!("extensions.{extension}"), value]);
        }));
    }
}

/// Runs what a person would copy from an error.
fn shell(directory: &Path, command: &str) {
    let output = Command::new("sh")
        .current_dir(directory)
        .args(["-ec", command])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The command in backquotes that starts with these words.
fn offered(said: &str, start: &str) -> String {
    let commands = said.split('`').skip(1).step_by(2);
    let mut commands = commands.filter(|command| command.starts_with(start));
    commands
        .next()
        .unwrap_or_else(|| panic!("no `{start}`: {said}"))
        .to_owned()
}

fn refused(path: &Path, words: &[&str]) -> String {
    let error = inspect(path).unwrap_err();
    assert!(matches!(error, WorkspaceError::UnsupportedFormat { .. }), "{error:?}");
    let said = error.to_string();
    words
        .iter()
        .for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    said
}

fn made(directory: &Path, name: &str, format: &str) -> UserRepository {
    let path = directory.join(name);
    fs::create_dir(&path).unwrap();
    let user = UserRepository { path };
    user.git(&["init", "-q", "-b", "main", format]);
    user.write("README.md", "hello\n");
    user.commit("base");
    user
}

#[test]
fn sha256_and_reftable_are_refused_with_a_way_out_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let user = made(directory, "sha256", "--object-format=sha256");
    let said = refused(
        &user.path,
        &["SHA-1", "extensions.objectformat = sha256", "can't convert"],
    );
    shell(directory, &offered(&said, "git init").replace("COPY", "sha1"));
    let copy = UserRepository {
        path: directory.join("sha1").canonicalize().unwrap(),
    };
    works(&of(tempfile::tempdir().unwrap(), copy));

    let user = made(directory, "reftable", "--ref-format=reftable");
    let said = refused(&user.path, &["extensions.refstorage = reftable", "refs migrate"]);
    shell(directory, &offered(&said, "git clone").replace("COPY", "files"));
    let copy = UserRepository {
        path: directory.join("files").canonicalize().unwrap(),
    };
    works(&of(tempfile::tempdir().unwrap(), copy));
}

#[test]
fn partial_clones_are_refused_until_they_are_complete() {
    let fixture = prepared(|user| {
        user.git(&["config", "uploadpack.allowFilter", "true"]);
        user.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        user.write("README.md", "newer\n");
        user.commit("newer");
    });
    let from = format!("file://{}", fixture.user.path.display());
    fixture
        .user
        .git(&["clone", "-q", "--filter=blob:none", &from, "../partial"]);
    let path = fixture.directory.path().join("partial").canonicalize().unwrap();
    let said = refused(
        &path,
        &["partial clone", "remote.origin.promisor", "partialCloneFilter"],
    );
    shell(&path, &offered(&said, "git fetch"));
    for key in ["remote.origin.promisor", "remote.origin.partialCloneFilter"] {
        shell(&path, &format!("git config --unset-all {key}"));
    }
    works(&of(tempfile::tempdir().unwrap(), UserRepository { path: path.clone() }));
    for value in ["1", "0"] {
        shell(
            &path,
            &format!("git config core.repositoryFormatVersion {value}; git config extensions.partialClone origin"),
        );
        refused(&path, &["partial clone", "origin"]);
    }
}

#[test]
fn unknown_extensions_and_versions_are_named() {
    let fixture = prepared(|user| drop(user.git(&["config", "core.repositoryformatversion", "1"])));
    let config = fixture.user.path.join(".git/config");
    let before = fs::read_to_string(&config).unwrap();
    for extension in ["compatObjectFormat = sha256", "whatComesNext = 7"] {
        fs::write(&config, format!("{before}[extensions]\n\t{extension}\n")).unwrap();
        refused(&fixture.user.path, &[&extension.to_ascii_lowercase(), "git clone"]);
    }
    fs::write(&config, format!("{before}[extensions]\n\trefStorage = files\n")).unwrap();
    let said = refused(&fixture.user.path, &["extensions.refstorage = files"]);
    shell(&fixture.user.path, &offered(&said, "git config"));
    base_of(&fixture.user);
    fs::write(
        &config,
        before.replace("repositoryformatversion = 1", "repositoryformatversion = 7"),
    )
    .unwrap();
    refused(&fixture.user.path, &["version 7"]);
}

#[test]
fn unfinished_root_is_moved_by_git_too() {
    let directory = tempfile::tempdir().unwrap();
    let user = UserRepository::init(&directory.path().join("user"));
    user.git(&["config", "core.sharedRepository", "group"]);
    let hub = Hub::open_or_create(&directory.path().join("data/hub"), &user.path).unwrap();
    let base = hub.empty_root(&stamp("root")).unwrap();
    let fixture = Fixture {
        directory,
        user,
        hub,
        base,
    };
    let commit = on_base(&fixture, "one");
    deliver_branch(&fixture.user.path, &fixture.hub, &commit, BRANCH).unwrap();
    let moved = fast_forward(&fixture.user.path, &fixture.base, &commit).unwrap();
    assert_eq!(moved, FastForward::Done);
    assert_eq!(fixture.user.read("result/one"), "done\n");
}
