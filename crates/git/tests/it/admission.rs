//! Which directories may become a workspace. A directory stands for the root of a machine; of the real one only names
//! are given, and nothing there is opened or made.

use crate::support::{UserRepository, git_in, stamp, write};
use git::{Admission, Admitted, Found, NotAdmitted, Places, TreeLimits, Unversioned, WorkspaceError};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
};

/// A machine with two accounts, the system's directories and a data directory.
struct Machine {
    _folder: tempfile::TempDir,
    root: PathBuf,
    admission: Admission,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("machine");
        let directories = [
            "etc",
            "usr/share/doc",
            "usr/local/src",
            "var/lib/thing",
            "var/tmp",
            "boot",
            "bin",
            "dev/shm",
            "proc/sys",
            "sys/kernel",
            "run/user",
            "lib",
            "opt/tool",
            "srv/git",
            "mnt/disk",
            "media",
            "root",
            "tmp",
            "home/ann/.ssh",
            "home/ann/work",
            "home/bob",
            "data/orchestrator/hubs",
            "other/hubs",
            "elsewhere",
        ];
        for directory in directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        permit(&root.join("tmp"), 0o1777);
        permit(&root.join("var/tmp"), 0o1777);
        write(&root.join("other/process-id"), "x");
        write(
            &root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nann:x:1:1::/home/ann:/bin/sh\ngit:x:2:2::/srv/git:/bin/sh\nd:x:3:3::/:/bin/sh\n",
        );
        let roots = vec![root.join("home/ann"), root.join("tmp")];
        let admission = Admission::with_places(roots, root.join("data/orchestrator"), Places::under(&root));
        Self {
            _folder: folder,
            root,
            admission,
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        match path.trim_start_matches('/') {
            "" => self.root.clone(),
            below => self.root.join(below),
        }
    }

    fn admit(&self, path: impl AsRef<Path>) -> Result<Admitted, NotAdmitted> {
        self.admission.admit(path.as_ref(), Unversioned::Refused)
    }

    fn repository(&self, path: &str) -> UserRepository {
        let user = UserRepository::init(&self.at(path));
        user.write("a", "a\n");
        user.commit("one");
        user
    }

    #[track_caller]
    fn refused(&self, path: impl AsRef<Path>) -> NotAdmitted {
        let path = path.as_ref();
        // Also where the caller wants its files committed.
        let refused = self.admission.admit(path, Unversioned::Initialised);
        let refused = refused.expect_err(&format!("{} was admitted", path.display()));
        assert!(!refused.hint().is_empty());
        refused
    }
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn as_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: only root can give files away and mount");
    }
    is
}

/// The root of the machine holds the data directory as well.
fn is_shared(refused: &NotAdmitted) -> bool {
    matches!(refused, NotAdmitted::Shared { .. } | NotAdmitted::DataDirectory { .. })
}

/// Every path below a directory.
fn listing(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

#[test]
fn the_systems_directories_are_refused_and_all_that_is_in_them() {
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
fn no_link_leads_to_where_the_path_may_not_go() {
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
fn what_a_caller_may_have_is_taken() {
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
fn nothing_is_made_outside_the_roots_and_no_files_are_committed_unasked() {
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
    assert_eq!(asked.unwrap().found, Found::PlainFolder);
    write(&machine.at("elsewhere/notes"), "x");
    assert!(matches!(
        machine.refused(machine.at("elsewhere")),
        NotAdmitted::OutsideRoots { .. }
    ));
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

#[test]
fn what_every_account_may_exchange_is_refused() {
    let machine = Machine::new();
    machine.repository("home/ann/open/repository");
    permit(&machine.at("home/ann/open"), 0o777);
    for path in ["home/ann/open/repository", "home/ann/open/new", "home/ann/open"] {
        let refused = machine.refused(machine.at(path));
        assert!(matches!(refused, NotAdmitted::OpenToAll { .. }), "{path}: {refused}");
    }
    permit(&machine.at("home/ann/open"), 0o1777);
    assert!(machine.admit(machine.at("home/ann/open/repository")).is_ok());
    // What all share is no workspace itself.
    assert!(matches!(
        machine.refused(machine.at("home/ann/open")),
        NotAdmitted::OpenToAll { .. }
    ));
    permit(&machine.at("home/ann/open/repository"), 0o777);
    assert!(matches!(
        machine.refused(machine.at("home/ann/open/repository")),
        NotAdmitted::OpenToAll { .. }
    ));
}

#[test]
fn what_another_account_owns_or_links_is_refused() {
    if !as_root() {
        return;
    }
    let machine = Machine::new();
    const OTHER: Option<u32> = Some(4_242);
    let give = |path: &str| chown(machine.at(path), OTHER, OTHER).unwrap();
    // A link in the directory that all share.
    fs::create_dir(machine.at("home/ann/target")).unwrap();
    symlink(machine.at("home/ann/target"), machine.at("tmp/link")).unwrap();
    std::os::unix::fs::lchown(machine.at("tmp/link"), OTHER, OTHER).unwrap();
    for path in ["tmp/link", "tmp/link/new"] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(refused, NotAdmitted::LinkOfAnother { owner: 4_242, .. }),
            "{path}: {refused}"
        );
    }
    // A directory, and what lies below one.
    fs::create_dir(machine.at("tmp/theirs")).unwrap();
    machine.repository("tmp/theirs/repository");
    give("tmp/theirs");
    assert!(matches!(
        machine.refused(machine.at("tmp/theirs")),
        NotAdmitted::Workspace(WorkspaceError::OwnedByAnother { owner: Some(4_242), .. })
    ));
    for path in ["tmp/theirs/new", "tmp/theirs/repository"] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(refused, NotAdmitted::BelowAnother { owner: 4_242, .. }),
            "{path}: {refused}"
        );
        assert!(refused.hint().contains("safe.directory"));
    }
    // A repository whose git directory is theirs.
    machine.repository("home/ann/work/given");
    give("home/ann/work/given/.git");
    let refused = machine.refused(machine.at("home/ann/work/given"));
    assert!(refused.to_string().contains("owned by another user"), "{refused}");
}

#[test]
fn a_git_directory_that_leads_elsewhere_is_refused() {
    let machine = Machine::new();
    let secret = machine.repository("home/ann/secret");
    write(&machine.at("etc/objects/x"), "x");
    let case = |name: &str| {
        let user = machine.repository(&format!("home/ann/work/{name}"));
        (user.path.clone(), user.path.join(".git"))
    };
    let elsewhere = |path: &Path| {
        let refused = machine.refused(path);
        assert!(
            matches!(refused, NotAdmitted::Elsewhere { .. } | NotAdmitted::Part { .. }),
            "{}: {refused}",
            path.display()
        );
    };
    // A file or a link in its place.
    let (path, git) = case("pointer");
    fs::rename(&git, machine.at("home/ann/moved")).unwrap();
    for target in [
        machine.at("etc"),
        secret.path.join(".git"),
        machine.at("data/orchestrator/hubs"),
    ] {
        write(&git, format!("gitdir: {}\n", target.display()));
        elsewhere(&path);
        fs::remove_file(&git).unwrap();
        symlink(&target, &git).unwrap();
        elsewhere(&path);
        fs::remove_file(&git).unwrap();
    }
    // What others of its files say.
    let (path, git) = case("common");
    write(
        &git.join("commondir"),
        format!("{}\n", secret.path.join(".git").display()),
    );
    elsewhere(&path);
    let (path, _) = case("files");
    git_in(&path, &["config", "core.worktree", machine.at("etc").to_str().unwrap()]);
    elsewhere(&path);
    for target in [
        machine.at("etc/objects"),
        machine.at("data/orchestrator/hubs"),
        machine.at("home/ann/.ssh"),
    ] {
        let (path, git) = case(&format!("borrows-{}", target.file_name().unwrap().display()));
        write(&git.join("objects/info/alternates"), format!("{}\n", target.display()));
        elsewhere(&path);
    }
    // Links in its place of parts.
    for part in ["objects", "refs", "config", "HEAD", "objects/pack", "refs/heads/main"] {
        let (path, git) = case(&format!("part-{}", part.replace('/', "-")));
        let kept = machine.at("home/ann").join(format!("kept-{}", part.replace('/', "-")));
        fs::rename(git.join(part), &kept).unwrap();
        symlink(&kept, git.join(part)).unwrap();
        elsewhere(&path);
    }
    let (path, git) = case("object");
    fs::create_dir_all(git.join("objects/aa")).unwrap();
    symlink(machine.at("etc/passwd"), git.join("objects/aa").join("b".repeat(38))).unwrap();
    elsewhere(&path);
}

#[test]
fn a_pipe_in_a_git_directory_is_not_waited_for() {
    let machine = Machine::new();
    for part in [
        "config",
        "HEAD",
        "index",
        "refs/heads/x",
        "objects/info/alternates",
        "commondir",
        "shallow",
    ] {
        let user = machine.repository(&format!("home/ann/work/{}", part.replace('/', "-")));
        let pipe = user.path.join(".git").join(part);
        fs::remove_file(&pipe).ok();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let refused = machine.refused(&user.path).to_string();
        assert!(
            refused.contains("plain file") || refused.contains("wrong kind"),
            "{part}: {refused}"
        );
    }
}

#[test]
fn linked_worktrees_submodules_and_shared_clones_of_ours_are_taken() {
    let machine = Machine::new();
    let user = machine.repository("home/ann/work/main");
    let linked = machine.at("home/ann/work/linked");
    user.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    user.git(&["clone", "-q", "--shared", ".", "../shared"]);
    let outer = machine.repository("home/ann/work/outer");
    let from = user.path.display().to_string();
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &from,
        "inner",
    ]);
    for path in ["linked", "shared", "outer", "outer/inner"] {
        let admitted = machine.admit(machine.at("home/ann/work").join(path)).unwrap();
        assert!(
            matches!(admitted.found, Found::Repository { head: Some(_), .. }),
            "{path}"
        );
    }
    // Copied away, the pointer names a repository that does not name it in return.
    fs::create_dir(machine.at("home/ann/work/copied")).unwrap();
    fs::copy(linked.join(".git"), machine.at("home/ann/work/copied/.git")).unwrap();
    assert!(matches!(
        machine.refused(machine.at("home/ann/work/copied")),
        NotAdmitted::Elsewhere { .. }
    ));
}

#[test]
fn a_workspace_that_leads_elsewhere_by_now_is_delivered_to_no_more() {
    let machine = Machine::new();
    let user = machine.repository("home/ann/work/repository");
    let still = || machine.admission.still_admits(&user.path);
    still().unwrap();
    fs::rename(&user.path, machine.at("home/ann/work/moved")).unwrap();
    // Who looks for it says that it is gone.
    still().unwrap();
    symlink(machine.at("home/ann/work/moved"), &user.path).unwrap();
    assert!(matches!(still(), Err(NotAdmitted::Moved { .. })));
    fs::remove_file(&user.path).unwrap();
    symlink(machine.at("etc"), &user.path).unwrap();
    assert!(matches!(still(), Err(NotAdmitted::System { .. })));
    fs::remove_file(&user.path).unwrap();
    fs::create_dir(&user.path).unwrap();
    write(
        &user.path.join(".git"),
        format!("gitdir: {}\n", machine.at("home/ann/work/moved/.git").display()),
    );
    assert!(matches!(still(), Err(NotAdmitted::Elsewhere { .. })));
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

/// In a mount namespace of this thread's own: the machine's mounts are left alone.
#[test]
fn a_place_of_the_system_is_known_where_it_is_mounted_elsewhere() {
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

#[test]
fn the_directories_of_this_machine_are_refused_and_nothing_is_made_there() {
    let folder = tempfile::tempdir().unwrap();
    // Everything is a root, and still.
    let admission = Admission::new(vec!["/".into()], folder.path().join("data"));
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
fn a_failed_initialise_leaves_nothing_behind_and_a_settled_one_stays() {
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
fn what_is_initialised_is_for_its_owner_alone() {
    let machine = Machine::new();
    let path = machine.at("home/ann/new");
    git::initialise(&path, &stamp("first"), &TreeLimits::default()).unwrap();
    for file in listing(&path).into_iter().chain([path]) {
        let mode = fs::symlink_metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
}
