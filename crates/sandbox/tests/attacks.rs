//! What a hostile command tries from inside a sandbox. This program runs itself in it: the tests marked as ignored are
//! the attackers. Nothing of the machine is changed: files are opened and never written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use common::{as_ordinary_user, becomes, copied_program, sandbox, worktree};
use libc::{c_long, c_ulong};
use sandbox::{Job, Sandbox};

/// Runs one of the ignored tests in a sandbox and returns the lines it prints after `> `.
async fn attack(sandbox: &Sandbox, name: &str, worktree: &Path) -> Vec<String> {
    let (_place, program) = copied_program();
    let command = format!("'{}' --ignored --exact --nocapture {name}", program.display());
    let mut job = Job::shell(&command, worktree.to_owned());
    job.extra_read_only = vec![program];
    job.output_limit_bytes = 1 << 20;
    let finished = sandbox.run(job).await.unwrap();
    assert!(finished.succeeded(), "{}", finished.output_head_tail);
    let lines = finished.output_head_tail.lines();
    lines
        .filter_map(|line| Some(line.split_once("> ")?.1.to_owned()))
        .collect()
}

/// A number of a system call with its arguments, by what it would do.
fn calls() -> Vec<(&'static str, c_long, [c_ulong; 5])> {
    let (path, empty) = (c"made".as_ptr() as c_ulong, c"".as_ptr() as c_ulong);
    let set_user = 0o104_755;
    let here = libc::AT_FDCWD as c_ulong;
    let buffer = Box::leak(Box::new([0_u64; 64])).as_mut_ptr() as c_ulong;
    let process = u64::from(std::process::id());
    let new_user = libc::CLONE_NEWUSER as c_ulong;
    let creating = (libc::O_CREAT | libc::O_WRONLY) as c_ulong;
    let unnamed = (libc::O_TMPFILE | libc::O_WRONLY) as c_ulong;
    vec![
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, buffer, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3_i64 as c_ulong, 1, 0, 0]),
        (
            "add_key",
            libc::SYS_add_key,
            [c"user".as_ptr() as c_ulong, path, path, 4, -2_i64 as c_ulong],
        ),
        (
            "request_key",
            libc::SYS_request_key,
            [c"user".as_ptr() as c_ulong, path, 0, 0, 0],
        ),
        ("bpf", libc::SYS_bpf, [0, buffer, 72, 0, 0]),
        (
            "perf_event_open",
            libc::SYS_perf_event_open,
            [buffer, 0, -1_i64 as c_ulong, -1_i64 as c_ulong, 0],
        ),
        (
            "process_vm_readv",
            libc::SYS_process_vm_readv,
            [process, buffer, 0, buffer, 0],
        ),
        (
            "process_vm_writev",
            libc::SYS_process_vm_writev,
            [process, buffer, 0, buffer, 0],
        ),
        ("kcmp", libc::SYS_kcmp, [process, process, 0, 1, 2]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0]),
        ("ptrace attach", libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        ("ptrace seize", libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]),
        (
            "mount",
            libc::SYS_mount,
            [path, c"/tmp".as_ptr() as c_ulong, c"tmpfs".as_ptr() as c_ulong, 0, 0],
        ),
        ("umount", libc::SYS_umount2, [c"/proc".as_ptr() as c_ulong, 2, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [path, path, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0]),
        (
            "open_tree",
            libc::SYS_open_tree,
            [here, c"/".as_ptr() as c_ulong, 0, 0, 0],
        ),
        ("open_tree_attr", 467, [here, c"/".as_ptr() as c_ulong, 0, 0, 0]),
        ("move_mount", libc::SYS_move_mount, [here, path, here, path, 0]),
        ("fsopen", libc::SYS_fsopen, [c"tmpfs".as_ptr() as c_ulong, 0, 0, 0, 0]),
        ("fspick", libc::SYS_fspick, [here, c"/".as_ptr() as c_ulong, 0, 0, 0]),
        ("fsconfig", libc::SYS_fsconfig, [0, 0, 0, 0, 0]),
        ("fsmount", libc::SYS_fsmount, [0, 0, 0, 0, 0]),
        ("mount_setattr", libc::SYS_mount_setattr, [here, empty, 0, buffer, 32]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("unshare user", libc::SYS_unshare, [new_user, 0, 0, 0, 0]),
        ("unshare mounts and files", libc::SYS_unshare, [0x0002_0400, 0, 0, 0, 0]),
        ("unshare time", libc::SYS_unshare, [0x80, 0, 0, 0, 0]),
        (
            "clone user",
            libc::SYS_clone,
            [new_user | libc::SIGCHLD as c_ulong, 0, 0, 0, 0],
        ),
        ("clone network", libc::SYS_clone, [0x4000_0011, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [buffer, 64, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [here, path, buffer, 24, 0]),
        (
            "name_to_handle_at",
            libc::SYS_name_to_handle_at,
            [here, path, buffer, buffer, 0],
        ),
        (
            "open_by_handle_at",
            libc::SYS_open_by_handle_at,
            [here, buffer, 0, 0, 0],
        ),
        ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        ("init_module", libc::SYS_init_module, [0, 0, empty, 0, 0]),
        ("finit_module", libc::SYS_finit_module, [0, empty, 0, 0, 0]),
        ("delete_module", libc::SYS_delete_module, [path, 0, 0, 0, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
        ("swapon", libc::SYS_swapon, [path, 0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("adjtimex", libc::SYS_adjtimex, [buffer, 0, 0, 0, 0]),
        ("personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
        ("socket to the machine's host", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("socket to the kernel's ciphers", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("type into a terminal", libc::SYS_ioctl, [0, 0x5412, buffer, 0, 0]),
        (
            "type into a terminal, long",
            libc::SYS_ioctl,
            [0, 0x1_0000_5412, buffer, 0, 0],
        ),
        ("fchmodat set-uid", libc::SYS_fchmodat, [here, path, 0o4755, 0, 0]),
        ("fchmodat2 set-uid", libc::SYS_fchmodat2, [here, path, 0o4755, 0, 0]),
        ("fchmodat set-gid", libc::SYS_fchmodat, [here, path, 0o2755, 0, 0]),
        ("fchmod set-uid", libc::SYS_fchmod, [0, 0o4755, 0, 0, 0]),
        (
            "openat set-uid",
            libc::SYS_openat,
            [here, c"s1".as_ptr() as c_ulong, creating, 0o4755, 0],
        ),
        (
            "openat unnamed set-gid",
            libc::SYS_openat,
            [here, c".".as_ptr() as c_ulong, unnamed, 0o2755, 0],
        ),
        (
            "mknodat set-uid",
            libc::SYS_mknodat,
            [here, c"s2".as_ptr() as c_ulong, set_user, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        ("chmod set-uid", libc::SYS_chmod, [path, 0o4755, 0, 0, 0]),
        #[cfg(target_arch = "x86_64")]
        (
            "open set-uid",
            libc::SYS_open,
            [c"s3".as_ptr() as c_ulong, creating, 0o4755, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "creat set-uid",
            libc::SYS_creat,
            [c"s4".as_ptr() as c_ulong, 0o6755, 0, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "mknod set-gid",
            libc::SYS_mknod,
            [c"s5".as_ptr() as c_ulong, 0o102_755, 0, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "keyctl by its second number",
            0x4000_0000 | libc::SYS_keyctl,
            [0, -3_i64 as c_ulong, 1, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "getpid by its second number",
            0x4000_0000 | libc::SYS_getpid,
            [0, 0, 0, 0, 0],
        ),
    ]
}

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn make_calls() {
    fs::write("made", "").unwrap();
    for (name, number, [a, b, c, d, e]) in calls() {
        #[expect(unsafe_code, reason = "what is tried has no safe name")]
        // SAFETY: pointers are to memory that is never freed; none of the calls shall come to anything.
        let answer = unsafe { libc::syscall(number, a, b, c, d, e) };
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        if answer == 0 && name.starts_with("clone") {
            // The child of a namespace that should not be.
            std::process::exit(0);
        }
        println!("> {name}={}", if answer < 0 { error } else { 0 });
    }
    println!("> a call by the numbers of 32 bits={}", old_call_survives());
}

/// Whether a process that makes a system call of another architecture lives on.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "there is no other way to make such a call")]
fn old_call_survives() -> i32 {
    // SAFETY: the child makes one call without arguments and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let _pid: u32;
            std::arch::asm!("int 0x80", inlateout("eax") 20 => _pid, options(nostack));
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        i32::from(!libc::WIFSIGNALED(status))
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn old_call_survives() -> i32 {
    0
}

async fn no_call_on_the_list_succeeds() {
    let directory = worktree();
    let answers = attack(&sandbox().await, "make_calls", directory.path()).await;
    let answers: BTreeMap<&str, &str> = answers.iter().filter_map(|line| line.split_once('=')).collect();
    let (refused, unknown) = (libc::EPERM.to_string(), libc::ENOSYS.to_string());
    for (name, ..) in calls() {
        let wanted = match name {
            "clone3" | "openat2" | "keyctl by its second number" | "getpid by its second number" => &unknown,
            _ => &refused,
        };
        assert_eq!(answers.get(name), Some(&wanted.as_str()), "{name}");
    }
    assert_eq!(answers.get("a call by the numbers of 32 bits"), Some(&"0"));
    let made: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(made, ["made"], "{made:?}");
}

/// Devices that keep nothing, and terminals of the sandbox's own.
const HARMLESS: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn open_everything() {
    let here = std::env::current_dir().unwrap();
    let mut meant = vec![here, PathBuf::from("/tmp"), PathBuf::from("/home/w")];
    meant.extend(HARMLESS.map(PathBuf::from));
    let (mut queue, mut seen) = (vec![PathBuf::from("/")], 0);
    while let Some(directory) = queue.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
        for (path, kind) in entries.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?))) {
            if meant.contains(&path) || kind.is_symlink() || kind.is_fifo() {
                continue;
            }
            seen += 1;
            if kind.is_dir() {
                queue.push(path.clone());
            }
            if can_be_written(&path, kind.is_dir()) {
                println!(
                    "> {} {}",
                    if kind.is_dir() { "directory" } else { "file" },
                    path.display()
                );
            }
        }
    }
    println!("> seen {seen}");
}

fn can_be_written(path: &Path, is_directory: bool) -> bool {
    if is_directory {
        return rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    }
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .is_ok()
}

async fn nothing_but_the_worktree_can_be_opened_for_writing() {
    let directory = worktree();
    let found = attack(&sandbox().await, "open_everything", directory.path()).await;
    let (last, writable) = found.split_last().unwrap();
    // The home of cargo is in memory and the sandbox's own; what lies there is not.
    let in_memory = |line: &&String| line.starts_with("directory ") && line.contains("/.cargo");
    let found: Vec<&String> = writable.iter().filter(|line| !in_memory(line)).collect();
    assert_eq!(found, Vec::<&String>::new());
    let seen: usize = last.strip_prefix("seen ").unwrap().parse().unwrap();
    assert!(seen > 1000, "only {seen} files were tried");
}

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn reach_out() {
    let name = std::env::var("ABSTRACT").unwrap_or_default();
    let socket = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    println!("> socket={}", UnixStream::connect_addr(&socket).is_ok());
    let outside = fs::read_to_string("outside-path").unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let roots = processes.flat_map(|process| ["root", "cwd"].map(|link| process.path().join(link)));
    let reached = roots
        .filter(|root| root.join(outside.trim_start_matches('/')).exists())
        .count();
    println!("> roots={reached}");
    let raised = fs::write("/proc/self/oom_score_adj", "0").is_ok();
    println!(
        "> oom={raised} {}",
        fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim()
    );
}

async fn nothing_of_the_server_is_reached() {
    let directory = worktree();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("outside"), "").unwrap();
    fs::write(
        directory.path().join("outside-path"),
        place.path().join("outside").to_str().unwrap(),
    )
    .unwrap();
    let name = format!("attack-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
    // A file that this process leaves open for whatever it starts.
    let leaked = fs::File::open(place.path().join("outside")).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let sandbox = sandbox().await;
    let (_program_place, program) = copied_program();
    let command = format!(
        "ls -l /proc/self/fd; export ABSTRACT={name}; '{}' --ignored --exact --nocapture reach_out",
        program.display()
    );
    let mut job = Job::shell(&command, directory.path().to_owned());
    job.extra_read_only = vec![program];
    let text = sandbox.run(job).await.unwrap().output_head_tail;
    for line in ["> socket=false", "> roots=0", "> oom=false 800"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        !text.contains("/outside"),
        "{} is open inside: {text}",
        leaked.as_raw_fd()
    );
}

/// Who a running job is, as the host sees it.
async fn a_job_is_not_root_outside() {
    let directory = worktree();
    let marker = format!("98{:05}", std::process::id() % 100_000);
    let sandbox = sandbox().await;
    let job = Job::shell(&format!("sleep {marker}"), directory.path().to_owned());
    let cancel = job.cancel.clone();
    let mut users = Vec::new();
    let (finished, ()) = tokio::join!(sandbox.run(job), async {
        becomes(|| {
            users = users_of(&format!("sleep\0{marker}"));
            !users.is_empty()
        })
        .await;
        cancel.cancel();
    });
    finished.unwrap();
    assert!(users.iter().all(|user| *user != 0), "{users:?}");
}

/// All user ids of the processes with a marker in their command line, but of this one.
fn users_of(marker: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let marked = processes.filter(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    });
    let status = marked.filter_map(|process| fs::read_to_string(process.join("status")).ok());
    status
        .filter_map(|text| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix("Uid:")?.to_owned()))
        })
        .flat_map(|ids| {
            ids.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// What everyday work does is not on the list.
async fn everyday_work_goes_on() {
    let directory = worktree();
    let command = "set -e; mkfifo pipe; echo a >file; chmod 755 file; umask 027; mkdir -p a/b; ln file linked; \
                   ln -s file link; echo out >/dev/stdout; echo err >/dev/stderr; (sleep 0 & wait); tar cf t.tar a; \
                   mkdir x; tar xf t.tar -C x; test -d x/a/b; timeout 5 true; nice true; echo done";
    let finished = sandbox()
        .await
        .run(Job::shell(command, directory.path().to_owned()))
        .await
        .unwrap();
    assert_eq!(finished.output_head_tail, "out\nerr\ndone\n");
    assert!(finished.succeeded());
}

/// All of it, as whoever runs this.
async fn all() {
    no_call_on_the_list_succeeds().await;
    nothing_but_the_worktree_can_be_opened_for_writing().await;
    nothing_of_the_server_is_reached().await;
    a_job_is_not_root_outside().await;
    everyday_work_goes_on().await;
}

#[tokio::test]
async fn every_attack_fails() {
    all().await;
}

#[tokio::test]
#[ignore = "run by the test below, as an ordinary user"]
async fn all_as_this_user() {
    assert!(!rustix::process::geteuid().is_root());
    all().await;
}

#[tokio::test]
async fn every_attack_fails_where_the_server_is_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        // The test above was it.
        return;
    }
    as_ordinary_user("all_as_this_user");
}

#[tokio::test]
async fn what_only_root_may_read_is_readable_where_it_is_granted() {
    let home = tempfile::tempdir().unwrap();
    let (programs, hub) = (home.path().join(".cargo/bin"), home.path().join("hub"));
    fs::create_dir_all(&programs).unwrap();
    fs::create_dir_all(&hub).unwrap();
    fs::write(programs.join("a-tool"), "#!/bin/sh\necho tool\n").unwrap();
    fs::write(hub.join("object"), "object\n").unwrap();
    for (path, mode) in [
        (programs.join("a-tool"), 0o700),
        (hub.join("object"), 0o600),
        (hub.clone(), 0o700),
        (home.path().to_owned(), 0o700),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let host = sandbox::HostEnvironment {
        home: Some(home.path().to_owned()),
        ..sandbox::HostEnvironment::default()
    };
    let settings = sandbox::Settings {
        host,
        ..sandbox::Settings::default()
    };
    let sandbox = Sandbox::probe(sandbox::Tier::Bubblewrap, settings).await.unwrap();
    let worktree = home.path().join("worktree");
    fs::create_dir(&worktree).unwrap();
    let mut job = Job::shell(
        &format!(
            "a-tool; cat {0}/object; echo x >>{0}/object; echo y >made",
            hub.display()
        ),
        worktree.clone(),
    );
    job.hub = Some(hub.clone());
    let text = sandbox.run(job).await.unwrap().output_head_tail;
    assert!(text.starts_with("tool\nobject\n"), "{text}");
    assert_eq!(fs::read_to_string(hub.join("object")).unwrap(), "object\n");
    assert_eq!(fs::read_to_string(worktree.join("made")).unwrap(), "y\n");
}

#[tokio::test]
async fn a_link_in_the_place_of_git_is_not_followed() {
    let (directory, place) = (worktree(), worktree());
    fs::write(place.path().join("secret"), "secret\n").unwrap();
    std::os::unix::fs::symlink(place.path(), directory.path().join(".git")).unwrap();
    let job = Job::shell("cat .git/secret; ls -A .git/", directory.path().to_owned());
    let answer = sandbox().await.run(job).await;
    let text = answer.map_or_else(|error| error.to_string(), |finished| finished.output_head_tail);
    assert!(!text.starts_with("secret"), "{text}");
}
