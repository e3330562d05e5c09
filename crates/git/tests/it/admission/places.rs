//! The directories of a machine that are nobody's workspace, and the ways that lead there.

use super::{Machine, as_root, is_shared, listing, permit};
use git::{Admission, Found, NotAdmitted, Places, Unversioned};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::PathBuf,
};

#[test]
fn system_directories_and_their_contents_are_refused() {
    let machine = Machine::new();
    let before = listing(&machine.root);
    for path in [
        "etc",
        "etc/",
        "etc/app",
        "etc/a/b/c",
        "usr",
        "usr/share/doc",
        "usr/local/src",
        "usr/local/src/new",
        "var",
        "var/lib",
        "var/lib/thing",
        "var/lib/thing/new",
        "boot",
        "bin",
        "dev",
        "dev/shm",
        "dev/shm/new",
        "proc",
        "proc/sys",
        "sys/kernel",
        "run",
        "run/user/1000/new",
        "lib",
        "lib64/new",
        "tmp/../etc",
        "home/ann/../../etc/app",
        "./etc/./app//",
    ] {
        let refused = machine.refused(machine.at(path));
        assert!(matches!(refused, NotAdmitted::System { .. }), "{path}: {refused}");
    }
    for path in [
        "",
        "home",
        "home/",
        "tmp",
        "tmp/",
        "var/tmp",
        "opt",
        "srv",
        "mnt",
        "media",
        "root",
        "home/ann",
        "home/bob",
        "home/nobody-that-is-named",
        "srv/git",
        "home/ann/work/../../bob",
    ] {
        let refused = machine.refused(machine.at(path));
        assert!(is_shared(&refused), "{path}: {refused}");
    }
    for path in [
        "home/ann/.ssh",
        "home/ann/.ssh/new",
        "home/ann/.gnupg",
        "home/carl/.aws/x",
        "root/.kube",
    ] {
        let refused = machine.refused(machine.at(path));
        assert!(matches!(refused, NotAdmitted::Keys { .. }), "{path}: {refused}");
    }
    assert_eq!(listing(&machine.root), before, "looking changed something");
}

#[test]
fn a_repository_in_a_system_directory_is_refused_unless_its_operator_opened_the_place() {
    let machine = Machine::new();
    for path in ["etc", "var/lib/thing", "usr/local/src/tool"] {
        let user = machine.repository(path);
        assert!(
            matches!(machine.refused(&user.path), NotAdmitted::System { .. }),
            "{path}"
        );
    }
    let roots = |roots: &[&str]| {
        let roots = roots.iter().map(|root| machine.at(root)).collect();
        Admission::with_places(roots, machine.at("data/orchestrator"), Places::under(&machine.root))
    };
    let opened = roots(&["var/lib/thing", "usr/local/src", "etc", "etc/app", "proc/sys", "var"]);
    for (path, taken) in [
        ("var/lib/thing", true),
        ("usr/local/src/tool", true),
        ("usr/local/src/new", true),
        ("var/lib/other", false),
        ("var", false),
        ("etc", false),
        ("etc/app", false),
        ("proc/sys/new", false),
    ] {
        let admitted = opened.admit(&machine.at(path), Unversioned::Refused);
        assert_eq!(admitted.is_ok(), taken, "{path}: {admitted:?}");
    }
}

#[test]
fn links_into_refused_directories_are_refused() {
    let machine = Machine::new();
    let ann = machine.at("home/ann/work");
    for (name, target) in [("a", "etc"), ("b", "usr"), ("c", "home"), ("d", "")] {
        symlink(machine.at(target), ann.join(name)).unwrap();
    }
    symlink("a", ann.join("again")).unwrap();
    symlink("../../../etc/new", ann.join("up")).unwrap();
    for path in [
        "a",
        "again",
        "a/app",
        "a/../etc/app",
        "b/share",
        "d/etc",
        "d/var/lib",
        "c/bob/../../etc",
    ] {
        let refused = machine.refused(ann.join(path));
        assert!(matches!(refused, NotAdmitted::System { .. }), "{path}: {refused}");
    }
    for path in ["c", "c/bob", "d", "a/.."] {
        let refused = machine.refused(ann.join(path));
        assert!(is_shared(&refused), "{path}: {refused}");
    }
    for path in ["up", "up/more"] {
        let refused = machine.refused(ann.join(path));
        assert!(refused.to_string().contains("symlink to nothing"), "{refused}");
    }
    symlink("loop", ann.join("loop")).unwrap();
    assert!(machine.refused(ann.join("loop")).to_string().contains("too many links"));
    // The kernel's own links.
    let by_process = PathBuf::from(format!("/proc/self/root{}", machine.at("etc/app").display()));
    assert!(matches!(machine.refused(by_process), NotAdmitted::System { .. }));
}

#[test]
fn usable_directories_are_admitted() {
    let machine = Machine::new();
    machine.repository("home/ann/work/repository");
    machine.repository("elsewhere/repository");
    machine.repository("opt/tool/repository");
    symlink(machine.at("home/ann/work"), machine.at("home/ann/link")).unwrap();
    fs::create_dir_all(machine.at("tmp/empty")).unwrap();
    for (path, real, missing) in [
        ("home/ann/work/repository", "home/ann/work/repository", false),
        ("home/ann/link/repository/", "home/ann/work/repository", false),
        ("elsewhere/repository", "elsewhere/repository", false),
        ("opt/tool/repository", "opt/tool/repository", false),
        ("home/ann/new/project", "home/ann/new/project", true),
        ("tmp/test-workspace", "tmp/test-workspace", true),
        ("tmp/empty", "tmp/empty", false),
    ] {
        let admitted = machine.admit(machine.at(path)).unwrap();
        assert_eq!(admitted.path, machine.at(real), "{path}");
        assert_eq!(
            admitted.found == Found::Missing,
            missing,
            "{path}: {:?}",
            admitted.found
        );
    }
}

#[test]
fn data_directories_are_refused_with_all_around_and_in_them() {
    let machine = Machine::new();
    for path in [
        "data",
        "data/orchestrator",
        "data/orchestrator/hubs/x",
        "data/orchestrator/new",
        "other",
        "other/x",
        "other/hubs/a.git",
    ] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(refused, NotAdmitted::DataDirectory { .. }),
            "{path}: {refused}"
        );
    }
    symlink(machine.at("data/orchestrator"), machine.at("home/ann/link")).unwrap();
    assert!(matches!(
        machine.refused(machine.at("home/ann/link/new")),
        NotAdmitted::DataDirectory { .. }
    ));
    // Around a home, too.
    assert!(matches!(
        machine.refused(machine.at("")),
        NotAdmitted::DataDirectory { .. } | NotAdmitted::Shared { .. }
    ));
}

#[test]
fn texts_that_are_no_path_are_refused() {
    let machine = Machine::new();
    assert!(matches!(machine.refused("work"), NotAdmitted::Relative { .. }));
    assert!(matches!(machine.refused(""), NotAdmitted::Relative { .. }));
    assert!(matches!(machine.refused("/tmp/a\0b"), NotAdmitted::Nul));
    let long = machine.at(&format!("tmp/{}", "x/".repeat(3_000)));
    assert!(matches!(machine.refused(long), NotAdmitted::TooLong { .. }));
    let name = machine.at(&format!("tmp/{}", "x".repeat(300)));
    assert!(machine.refused(name).to_string().contains("can't be read"));
    let raw = machine.at("tmp").join(OsStr::from_bytes(b"\xff"));
    assert!(matches!(machine.refused(&raw), NotAdmitted::NotUtf8 { .. }));
    fs::create_dir(&raw).unwrap();
    symlink(&raw, machine.at("home/ann/link")).unwrap();
    assert!(matches!(
        machine.refused(machine.at("home/ann/link")),
        NotAdmitted::NotUtf8 { .. }
    ));
    assert!(matches!(
        machine.refused(machine.at("tmp/none/../../etc")),
        NotAdmitted::LeadsUp { .. }
    ));
}

/// In a mount namespace of this thread's own: the machine's mounts are left alone.
#[test]
fn system_directory_is_recognised_at_another_mount() {
    if !as_root() {
        return;
    }
    let machine = Machine::new();
    fs::create_dir_all(machine.at("etc/app/deep")).unwrap();
    let checked = std::thread::spawn(move || {
        let run = |arguments: &[&str]| {
            let done = std::process::Command::new("mount").args(arguments).status();
            done.is_ok_and(|status| status.success())
        };
        #[expect(
            unsafe_code,
            reason = "no memory or file descriptor depends on the mounts of a thread"
        )]
        let apart = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
        if apart.is_err() || !run(&["--make-rprivate", "/"]) {
            eprintln!("skipped: this machine lets nobody mount");
            return;
        }
        for (name, source) in [("whole", "etc"), ("part", "etc/app"), ("home", "home/bob"), ("all", "")] {
            let at = machine.at("home/ann/work").join(name);
            fs::create_dir(&at).unwrap();
            let source = machine.at(source);
            assert!(run(&["--bind", source.to_str().unwrap(), at.to_str().unwrap()]));
        }
        for path in [
            "whole",
            "whole/new",
            "part",
            "part/deep",
            "part/new",
            "all/etc",
            "all/usr/share",
            "all/etc/app",
        ] {
            let refused = machine.refused(machine.at("home/ann/work").join(path));
            assert!(matches!(refused, NotAdmitted::System { .. }), "{path}: {refused}");
        }
        for path in ["home", "all", "all/home/bob"] {
            let refused = machine.refused(machine.at("home/ann/work").join(path));
            assert!(is_shared(&refused), "{path}: {refused}");
        }
        // A file system of its own, and a repository that is mounted by itself.
        let disk = machine.at("home/ann/work/disk");
        fs::create_dir(&disk).unwrap();
        assert!(run(&["-t", "tmpfs", "none", disk.to_str().unwrap()]));
        permit(&disk, 0o700);
        assert!(matches!(machine.refused(&disk), NotAdmitted::MountPoint { .. }));
        assert!(machine.admit(disk.join("new")).is_ok());
        let user = machine.repository("elsewhere/repository");
        let given = machine.at("home/ann/work/given");
        fs::create_dir(&given).unwrap();
        assert!(run(&["--bind", user.path.to_str().unwrap(), given.to_str().unwrap()]));
        assert_eq!(machine.admit(&given).unwrap().path, given);
    });
    checked.join().unwrap();
}
