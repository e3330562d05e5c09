//! What a hostile command tries from inside a sandbox. This program runs itself there: the ignored tests are the
//! attackers. They change nothing of the machine: they open files and never write them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod calls;
#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use calls::calls;
use common::{as_ordinary_user, becomes, copied_program, sandbox, worktree};
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

async fn refused_calls_fail() {
    let directory = worktree();
    let answers = attack(&sandbox().await, "calls::make_calls", directory.path()).await;
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

/// Devices that store nothing, and the sandbox's own terminals.
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

async fn only_worktree_can_be_opened_for_writing() {
    let directory = worktree();
    let found = attack(&sandbox().await, "open_everything", directory.path()).await;
    let (last, writable) = found.split_last().unwrap();
    // The home of cargo is the sandbox's own, in memory.
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

async fn server_is_unreachable() {
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
    // A file that this process leaves open for its children.
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

/// Checks the host account of a running job.
async fn job_is_not_root_on_host() {
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

/// All user ids of the processes with a marker in their command line.
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

/// Ordinary commands use no refused call.
async fn ordinary_commands_work() {
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

/// All attacks, under the current account.
async fn run_all() {
    refused_calls_fail().await;
    only_worktree_can_be_opened_for_writing().await;
    server_is_unreachable().await;
    job_is_not_root_on_host().await;
    ordinary_commands_work().await;
}

#[tokio::test]
async fn every_attack_fails() {
    run_all().await;
}

#[tokio::test]
#[ignore = "run by the test below, as an ordinary user"]
async fn all_as_current_user() {
    assert!(!rustix::process::geteuid().is_root());
    run_all().await;
}

#[tokio::test]
async fn every_attack_fails_under_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        // The test above covers it.
        return;
    }
    as_ordinary_user("all_as_current_user");
}

#[tokio::test]
async fn root_only_files_are_readable_where_granted() {
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
async fn symlinked_git_directory_is_not_followed() {
    let (directory, place) = (worktree(), worktree());
    fs::write(place.path().join("secret"), "secret\n").unwrap();
    std::os::unix::fs::symlink(place.path(), directory.path().join(".git")).unwrap();
    let job = Job::shell("cat .git/secret; ls -A .git/", directory.path().to_owned());
    let answer = sandbox().await.run(job).await;
    let text = answer.map_or_else(|error| error.to_string(), |finished| finished.output_head_tail);
    assert!(!text.starts_with("secret"), "{text}");
}
