//! Making a repository where there is none, and taking it away again.

use super::{Machine, listing};
use crate::support::{git_in, stamp, write};
use git::{Admission, Found, NotAdmitted, TreeLimits, Unversioned, WorkspaceError};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

#[test]
fn nothing_is_made_outside_the_roots_or_committed_without_request() {
    let machine = Machine::new();
    for path in [
        "elsewhere/new",
        "home/bob/new",
        "opt/tool/new",
        "var/tmp/new",
        "srv/new",
    ] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(&refused, NotAdmitted::OutsideRoots { .. }),
            "{path}: {refused}"
        );
        assert!(refused.to_string().contains("home/ann") && refused.hint().contains("server.workspaces"));
    }
    write(&machine.at("home/ann/work/notes"), "x");
    let refused = machine.admit(machine.at("home/ann/work")).unwrap_err();
    assert!(matches!(refused, NotAdmitted::NotEmpty { .. }), "{refused}");
    assert!(refused.hint().contains("initialise"));
    let asked = machine
        .admission
        .admit(&machine.at("home/ann/work"), Unversioned::Initialised);
    assert_eq!(asked.unwrap().found, Found::PlainDirectory);
    write(&machine.at("elsewhere/notes"), "x");
    assert!(matches!(
        machine.refused(machine.at("elsewhere")),
        NotAdmitted::OutsideRoots { .. }
    ));
}

#[test]
fn nothing_is_made_in_a_repository_or_a_git_directory() {
    let machine = Machine::new();
    let user = machine.repository("home/ann/work/repository");
    git_in(&machine.at("home/ann/work"), &["init", "-q", "--bare", "bare.git"]);
    for path in [
        "repository/.git",
        "repository/.git/objects",
        "repository/.git/new",
        "bare.git",
        "bare.git/refs",
        "bare.git/new",
        "x/.GIT/y",
    ] {
        let refused = machine.refused(machine.at("home/ann/work").join(path));
        assert!(
            matches!(
                refused,
                NotAdmitted::Workspace(WorkspaceError::InsideGit { .. } | WorkspaceError::Bare { .. })
            ),
            "{path}: {refused}"
        );
    }
    fs::create_dir(user.path.join("sub")).unwrap();
    for path in ["sub", "sub/new", "new"] {
        let refused = machine.refused(user.path.join(path));
        assert!(
            matches!(refused, NotAdmitted::Workspace(WorkspaceError::InsideRepository { .. })),
            "{refused}"
        );
    }
}

#[test]
fn system_directories_of_this_machine_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    // Everything is a root, and still.
    let admission = Admission::new(vec!["/".into()], directory.path().join("data"));
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    let made = |path: &Path| path.join(".git").symlink_metadata().is_ok();
    for path in [
        "/",
        "/etc",
        "/etc/orchestrator-is-not-here",
        "/usr",
        "/usr/share",
        "/var",
        "/var/lib",
        "/boot",
        "/dev",
        "/dev/shm",
        "/proc",
        "/proc/self",
        "/sys",
        "/run",
        "/bin",
        "/sbin",
        "/lib",
        "/root",
        "/home",
        "/tmp",
        "/opt",
        "/srv",
        "/mnt",
        "/media",
        "//etc",
        "/etc/..",
        "/tmp/../etc",
        "/proc/self/root/etc",
        "/proc/self/root",
        "/proc/self/cwd/../../../../../../etc",
        &home,
    ] {
        let path = Path::new(path);
        let had = made(path);
        let refused = admission.admit(path, Unversioned::Initialised);
        // What this machine does not have is missing, and its name is refused all the same.
        assert!(refused.is_err(), "{} was admitted: {refused:?}", path.display());
        assert_eq!(made(path), had, "{}", path.display());
    }
}

#[test]
fn failed_initialise_leaves_nothing_and_settled_one_stays() {
    let machine = Machine::new();
    let few = TreeLimits {
        max_changed_files: 3,
        ..TreeLimits::default()
    };
    let path = machine.at("home/ann/work");
    for number in 0..5 {
        write(&path.join(format!("{number}.txt")), "x");
    }
    let before = listing(&machine.root);
    assert!(git::initialise(&path, &stamp("first"), &few).is_err());
    assert_eq!(listing(&machine.root), before);
    // One that was cut short by a death.
    let unfinished = path.join(".git.orchestrator-making");
    write(&unfinished.join("objects/aa/x"), "x");
    git::undo_initialise(&path, &[]).unwrap();
    assert_eq!(listing(&machine.root), before);

    let deep = machine.at("home/ann/new/deep/project");
    let made = git::missing_directories(&deep);
    assert_eq!(made.len(), 3);
    git::initialise(&deep, &stamp("first"), &few).unwrap();
    write(&machine.at("home/ann/new/other"), "somebody's");
    git::undo_initialise(&deep, &made).unwrap();
    git::undo_initialise(&deep, &made).unwrap();
    assert!(!machine.at("home/ann/new/deep").exists());
    assert!(machine.at("home/ann/new/other").exists());

    // What was worked on, or is settled, stays.
    git::initialise(&path, &stamp("first"), &TreeLimits::default()).unwrap();
    git_in(&path, &["branch", "mine"]);
    git::undo_initialise(&path, &[]).unwrap();
    assert!(path.join(".git").is_dir());
    git_in(&path, &["branch", "-D", "mine"]);
    git::settle_initialised(&path).unwrap();
    git::undo_initialise(&path, &[]).unwrap();
    assert!(path.join(".git").is_dir());
}

#[test]
fn initialised_repository_is_private() {
    let machine = Machine::new();
    let path = machine.at("home/ann/new");
    git::initialise(&path, &stamp("first"), &TreeLimits::default()).unwrap();
    for file in listing(&path).into_iter().chain([path]) {
        let mode = fs::symlink_metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
}
