use crate::support::{UserRepository, git_in, stamp, write};
use git::{Found, Hub, InitialiseError, TreeLimits, WalkError, WorkspaceError, initialise, inspect};
use std::{fs, os::unix::fs::symlink, path::Path};

fn init(path: &Path) -> Result<git::Initialised, InitialiseError> {
    initialise(path, &stamp("first"), &TreeLimits::default())
}

#[test]
fn a_repository_is_found_with_head_branch_and_state() {
    let directory = tempfile::tempdir().unwrap();
    let user = UserRepository::init(&directory.path().join("user"));
    let branch = Some("main".to_owned());
    assert_eq!(
        inspect(&user.path).unwrap(),
        Found::Repository {
            head: None,
            branch: branch.clone(),
            dirty: false
        }
    );
    user.write("a", "a\n");
    let head = Some(user.commit("one"));
    assert_eq!(
        inspect(&user.path).unwrap(),
        Found::Repository {
            head: head.clone(),
            branch,
            dirty: false
        }
    );
    user.write("untracked", "x");
    user.git(&["checkout", "-q", "--detach"]);
    assert_eq!(
        inspect(&user.path).unwrap(),
        Found::Repository {
            head,
            branch: None,
            dirty: true
        }
    );
}

#[test]
fn each_unusable_path_is_named_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(&root.join("file"), "x");
    assert!(matches!(
        inspect(&root.join("file")),
        Err(WorkspaceError::IsAFile { .. })
    ));
    let below = inspect(&root.join("file/below")).unwrap_err();
    assert!(
        matches!(&below, WorkspaceError::IsAFile { path } if path.ends_with("file")),
        "{below}"
    );
    symlink(root.join("nowhere"), root.join("dangling")).unwrap();
    assert!(matches!(
        inspect(&root.join("dangling")),
        Err(WorkspaceError::Unreadable { .. })
    ));
    assert!(git_in(root, &["init", "-q", "--bare", "bare"]).status.success());
    let bare = inspect(&root.join("bare")).unwrap_err();
    assert!(
        matches!(bare, WorkspaceError::Bare { .. }) && bare.to_string().contains("git clone"),
        "{bare}"
    );
    let user = UserRepository::init(&root.join("user"));
    user.write("src/a", "a\n");
    user.write(".gitignore", "ignored/\n");
    user.commit("one");
    let inside = inspect(&user.path.join("src")).unwrap_err();
    assert!(matches!(inside, WorkspaceError::InsideRepository { .. }), "{inside}");
    assert!(matches!(
        inspect(&user.path.join("new/directory")),
        Err(WorkspaceError::InsideRepository { .. })
    ));
    fs::create_dir_all(user.path.join("ignored/directory")).unwrap();
    assert_eq!(inspect(&user.path.join("ignored/directory")).unwrap(), Found::Empty);
    write(&root.join("broken/.git"), "gitdir: /nowhere\n");
    let broken = inspect(&root.join("broken")).unwrap_err();
    assert!(matches!(broken, WorkspaceError::Unusable { .. }), "{broken}");
}

#[test]
fn an_unfinished_merge_is_named_with_the_command_that_aborts_it() {
    let directory = tempfile::tempdir().unwrap();
    let user = UserRepository::init(&directory.path().join("user"));
    user.write("a", "base\n");
    user.commit("base");
    user.git(&["checkout", "-q", "-b", "other"]);
    user.write("a", "other\n");
    user.commit("other");
    user.git(&["checkout", "-q", "main"]);
    user.write("a", "main\n");
    user.commit("main");
    for (start, abort) in [
        (["merge", "other"], "git merge --abort"),
        (["rebase", "other"], "git rebase --abort"),
        (["cherry-pick", "other"], "git cherry-pick --abort"),
    ] {
        assert!(!git_in(&user.path, &start).status.success());
        let error = inspect(&user.path).unwrap_err();
        assert!(
            matches!(&error, WorkspaceError::Unfinished { way_out, .. } if *way_out == abort),
            "{error}"
        );
        assert!(error.to_string().contains(abort));
        user.git(&abort.split(' ').skip(1).collect::<Vec<_>>());
    }
    assert!(inspect(&user.path).is_ok());
}

#[test]
fn a_repository_of_another_user_is_refused_with_the_owner() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a directory away; what happens then is the same code.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let user = UserRepository::init(&directory.path().join("user"));
    let plain = directory.path().join("plain");
    fs::create_dir(&plain).unwrap();
    for path in [&user.path, &user.path.join(".git"), &plain] {
        std::os::unix::fs::chown(path, Some(4242), Some(4242)).unwrap();
    }
    for path in [&user.path, &plain] {
        let error = inspect(path).unwrap_err();
        assert!(
            matches!(error, WorkspaceError::OwnedByAnother { owner: Some(4242), .. }),
            "{error}"
        );
        assert!(error.to_string().contains("safe.directory"));
    }
}

#[test]
fn a_missing_path_becomes_a_repository_with_an_empty_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/project");
    assert_eq!(inspect(&path).unwrap(), Found::Missing);
    let made = init(&path).unwrap();
    let found = Found::Repository {
        head: Some(made.head.clone()),
        branch: Some("main".to_owned()),
        dirty: false,
    };
    assert_eq!(inspect(&path).unwrap(), found);
    assert_eq!(init(&path).unwrap(), made);
    assert!(Hub::open_or_create(&directory.path().join("hub"), &path).is_ok());
}

#[test]
fn a_plain_directory_is_committed_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("directory");
    write(&path.join("src/a.txt"), "a\n");
    write(&path.join("build/out"), "x");
    write(&path.join(".gitignore"), "build/\n");
    // As after a death in the middle of it.
    write(&path.join(".git.orchestrator-making/HEAD"), "ref: refs/heads/main\n");
    assert_eq!(inspect(&path).unwrap(), Found::PlainDirectory);
    init(&path).unwrap();
    let said = |arguments: &[&str]| String::from_utf8(git_in(&path, arguments).stdout).unwrap();
    assert_eq!(said(&["status", "--porcelain"]), "");
    assert_eq!(
        said(&["ls-tree", "-r", "--name-only", "HEAD"]),
        ".gitignore\nsrc/a.txt\n"
    );
    assert_eq!(said(&["config", "core.bare"]), "false\n");
    assert_eq!(said(&["config", "core.worktree"]), "");
    assert!(!path.join(".git.orchestrator-making").exists());
    write(&path.join("src/a.txt"), "b\n");
    assert_eq!(said(&["status", "--porcelain"]), " M src/a.txt\n");
}

#[test]
fn directory_with_repositories_or_too_many_files_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("directory");
    UserRepository::init(&path.join("inner"));
    let error = init(&path).unwrap_err();
    assert!(
        matches!(error, InitialiseError::Refused(WalkError::NestedRepository { .. })),
        "{error}"
    );
    assert!(!path.join(".git").exists());
    fs::remove_dir_all(path.join("inner")).unwrap();
    write(&path.join("a"), "x");
    write(&path.join("b"), "x");
    let limits = TreeLimits {
        max_changed_files: 1,
        ..TreeLimits::default()
    };
    assert!(matches!(
        initialise(&path, &stamp("first"), &limits),
        Err(InitialiseError::Refused(_))
    ));
    assert!(init(&path).is_ok());
}
