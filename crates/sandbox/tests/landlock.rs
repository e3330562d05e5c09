//! Landlock in a sandbox: what it alone stops, what goes on as without it, and hosts where it can't be put up. This
//! program runs itself there: the tests marked as ignored are the commands and the servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{as_ordinary_user, copied_program, with_launcher, worktree};
use sandbox::{Enforcement, Job, Property, Sandbox, Settings, State, Tier};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What nothing else in a sandbox stops.
const STOPPED: [&str; 2] = ["an empty entry of an overlay", "a signal to bubblewrap"];

/// Things to do, and whether each can be done.
fn deeds() -> Vec<(&'static str, io::Result<()>)> {
    vec![
        (STOPPED[0], done(|| made(c"whiteout", libc::S_IFCHR))),
        (STOPPED[1], done(|| signal(1))),
        ("a pipe", done(|| made(c"fifo", libc::S_IFIFO | 0o600))),
        ("a move to another directory", done(move_a_file)),
        ("a move of a directory", done(move_a_directory)),
        ("a link in another directory", done(link_a_file)),
        ("a file without a name", done(unnamed_file)),
        ("a file in memory, opened by its descriptor", done(file_in_memory)),
        (
            "an emptied file",
            done(|| fs::write("emptied", "1").and_then(|()| fs::write("emptied", ""))),
        ),
        ("devices", done(devices)),
        ("a terminal", done(terminal)),
        (
            "shared memory",
            done(|| fs::write("/dev/shm/x", "x").and_then(|()| fs::remove_file("/dev/shm/x"))),
        ),
        (
            "a socket in a directory",
            done(|| talk(&SocketAddr::from_pathname("socket")?)),
        ),
        (
            "an abstract socket",
            done(|| talk(&SocketAddr::from_abstract_name("own")?)),
        ),
        (
            "a port of the loopback",
            done(|| TcpStream::connect(TcpListener::bind("127.0.0.1:0")?.local_addr()?).map(drop)),
        ),
        ("a signal to a child", done(signal_a_child)),
        ("a signal to all", done(|| signal(0))),
        (
            "own output by its path",
            done(|| fs::OpenOptions::new().append(true).open("/dev/stdout").map(drop)),
        ),
        (
            "a setting of its own process",
            done(|| fs::write("/proc/self/comm", "x")),
        ),
        ("a program in the worktree", done(run_a_copy)),
        (
            "a file of the system",
            done(|| fs::OpenOptions::new().append(true).open("/usr/bin/env").map(drop)),
        ),
    ]
}

fn done(deed: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    deed()
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn made(name: &std::ffi::CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: the name lives through the call.
    check(unsafe { libc::mknod(name.as_ptr(), mode, 0) })
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn signal(process: libc::pid_t) -> io::Result<()> {
    // SAFETY: signal 0 is looked at and not sent.
    check(unsafe { libc::kill(process, 0) })
}

fn move_a_file() -> io::Result<()> {
    fs::create_dir_all("from/deep")?;
    fs::create_dir_all("to")?;
    fs::write("from/deep/file", "x")?;
    fs::rename("from/deep/file", "to/file")
}

fn move_a_directory() -> io::Result<()> {
    fs::create_dir_all("here/directory/below")?;
    fs::create_dir_all("there")?;
    fs::rename("here/directory", "there/directory")
}

fn link_a_file() -> io::Result<()> {
    fs::create_dir_all("links")?;
    fs::write("linked", "x")?;
    fs::hard_link("linked", "links/linked")?;
    std::os::unix::fs::symlink("linked", "links/symbolic")
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn unnamed_file() -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(".")?;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    // SAFETY: both paths live through the call.
    check(unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_FDCWD,
            c"named".as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn file_in_memory() -> io::Result<()> {
    // SAFETY: the name lives through the call, and nobody else has the descriptor.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"memory".as_ptr(), 0);
        check(descriptor)?;
        fs::File::from_raw_fd(descriptor)
    };
    fs::write(format!("/proc/self/fd/{}", file.as_raw_fd()), "x")
}

fn devices() -> io::Result<()> {
    fs::write("/dev/null", "x")?;
    let mut byte = [0];
    fs::File::open("/dev/zero")?.read_exact(&mut byte)?;
    fs::File::open("/dev/urandom")?.read_exact(&mut byte)
}

#[expect(unsafe_code, reason = "std does not have these calls")]
fn terminal() -> io::Result<()> {
    let (mut ours, mut theirs) = (0, 0);
    // SAFETY: what is not written to may be null; the descriptors are this function's own.
    unsafe {
        check(libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        ))?;
        let size = libc::winsize {
            ws_row: 9,
            ws_col: 9,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        check(libc::ioctl(theirs, libc::TIOCSWINSZ, &raw const size))?;
        fs::File::from_raw_fd(theirs).write_all(b"x")?;
        drop(fs::File::from_raw_fd(ours));
    }
    Ok(())
}

fn talk(address: &SocketAddr) -> io::Result<()> {
    let _listener = UnixListener::bind_addr(address)?;
    UnixStream::connect_addr(address).map(drop)
}

fn signal_a_child() -> io::Result<()> {
    let mut child = Command::new("sleep").arg("100").spawn()?;
    child.kill()?;
    child.wait().map(drop)
}

fn run_a_copy() -> io::Result<()> {
    fs::copy("/usr/bin/true", "program")?;
    Command::new("./program").status().map(drop)
}

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn do_it_all() {
    for (name, result) in deeds() {
        let answer = result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        println!("> {name}={answer}");
    }
}

/// What came of each deed in a sandbox.
async fn answers(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let directory = worktree();
    let (_place, program) = copied_program();
    let command = format!("'{}' --ignored --exact --nocapture do_it_all", program.display());
    let mut job = Job::shell(&command, directory.path().to_owned());
    job.extra_read_only = vec![program];
    let finished = sandbox.run(job).await.unwrap();
    assert!(finished.succeeded(), "{}", finished.output_head_tail);
    let lines = finished.output_head_tail.lines();
    lines
        .filter_map(|line| line.split_once("> ")?.1.split_once('='))
        .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
        .collect()
}

fn landlock(sandbox: &Sandbox) -> Enforcement {
    let mut found = sandbox.enforcement().into_iter();
    found.find(|found| found.property == Property::Landlock).unwrap()
}

/// Whether there is something to test; what this kernel lacks is printed.
fn is_enforced(sandbox: &Sandbox) -> bool {
    let found = landlock(sandbox);
    if found.state != State::Enforced {
        println!("skipped: Landlock is {}: {}", found.state, found.detail);
    }
    found.state == State::Enforced
}

async fn probe(settings: Settings) -> Sandbox {
    Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap()
}

/// Everything is as without it, but for what it is there to stop.
async fn it_stops_what_it_should_and_nothing_else() {
    let (with, without) = (probe(with_launcher()).await, probe(Settings::default()).await);
    if !is_enforced(&with) {
        return;
    }
    let (with, mut without) = (answers(&with).await, answers(&without).await);
    for (name, error) in STOPPED.into_iter().zip([libc::EACCES, libc::EPERM]) {
        // Or it would be no proof of Landlock.
        assert_eq!(
            without.insert(name.to_owned(), error.to_string()).unwrap(),
            "0",
            "{name}"
        );
    }
    assert_eq!(with, without);
    let refused = ["a setting of its own process", "a file of the system"];
    let failed = with
        .iter()
        .filter(|(name, answer)| *answer != "0" && !STOPPED.contains(&name.as_str()));
    assert_eq!(
        failed.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        [refused[1], refused[0]]
    );
}

#[tokio::test]
async fn landlock_stops_what_it_should_and_nothing_else() {
    it_stops_what_it_should_and_nothing_else().await;
}

#[tokio::test]
#[ignore = "run by the test below, as an ordinary user"]
async fn as_this_user() {
    assert!(!rustix::process::geteuid().is_root());
    it_stops_what_it_should_and_nothing_else().await;
}

#[tokio::test]
async fn landlock_stops_the_same_where_the_server_is_an_ordinary_user() {
    if rustix::process::geteuid().is_root() {
        as_ordinary_user("as_this_user");
    }
}

async fn output(sandbox: &Sandbox, command: &str) -> String {
    let directory = worktree();
    let finished = sandbox
        .run(Job::shell(command, directory.path().to_owned()))
        .await
        .unwrap();
    finished.output_head_tail
}

#[tokio::test]
async fn git_works_under_it() {
    let command = "set -e; git init -q . 2>/dev/null; git config user.email a@b; git config user.name a; mkdir a b; \
                   echo x >a/x; git add .; git commit -qm one; git mv a/x b/y; git commit -qm two; git gc -q; \
                   git clone -q . clone; git -C clone log --oneline | wc -l; mv clone/b/y moved; cat moved";
    assert_eq!(output(&probe(with_launcher()).await, command).await, "2\nx\n");
}

/// The launcher and the shell set the same limits, pass on nothing, and say alike that a program is not there.
#[tokio::test]
async fn a_command_starts_as_it_does_by_the_shell() {
    let settings = Settings {
        file_bytes: 1 << 20,
        address_space_bytes: Some(1 << 40),
        ..with_launcher()
    };
    let by_shell = Settings {
        launcher: None,
        ..settings.clone()
    };
    let command = "ulimit -c; ulimit -f; ulimit -v; ulimit -n; ls -l /proc/self/fd | sed -n 's/.* -> //p' | sort -u | \
                   sed 's/[0-9]\\+/N/g'; trap; sh -c 'kill -PIPE $$'; echo $?; env | cut -d= -f1 | sort";
    let (launched, by_shell) = (probe(settings).await, probe(by_shell).await);
    assert_eq!(output(&launched, command).await, output(&by_shell, command).await);
    assert!(output(&launched, "ulimit -f").await.starts_with("2048"));
    for (program, code) in [("no-such-program", 127), ("/usr", 126), ("./not-executable", 126)] {
        let directory = worktree();
        fs::write(directory.path().join("not-executable"), "").unwrap();
        for sandbox in [&launched, &by_shell] {
            let job = Job::new(vec![program.to_owned()], directory.path().to_owned());
            let finished = sandbox.run(job).await.unwrap();
            assert_eq!(finished.exit, sandbox::Exit::Code(code), "{program}");
            assert!(
                finished.output_head_tail.contains(program),
                "{}",
                finished.output_head_tail
            );
        }
    }
}

#[tokio::test]
async fn a_launcher_that_was_replaced_still_starts_commands() {
    let (place, _program) = copied_program();
    let launcher = place.path().join("launcher");
    let sandbox = probe(Settings {
        launcher: Some(launcher.clone()),
        ..Settings::default()
    })
    .await;
    let before = landlock(&sandbox);
    fs::remove_file(&launcher).unwrap();
    fs::write(&launcher, "a newer version").unwrap();
    assert_eq!(output(&sandbox, "echo started").await, "started\n");
    if before.state == State::Enforced {
        assert!(output(&sandbox, "kill -0 1 2>&1").await.contains("not permitted"));
    }
}

#[tokio::test]
async fn a_launcher_that_only_its_owner_may_execute_is_enough() {
    let (place, _program) = copied_program();
    let launcher = place.path().join("launcher");
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let sandbox = probe(Settings {
        launcher: Some(launcher),
        ..Settings::default()
    })
    .await;
    assert_eq!(landlock(&sandbox), landlock(&probe(with_launcher()).await));
}

#[tokio::test]
async fn a_launcher_that_is_none_is_reported_and_commands_run() {
    for (launcher, reason) in [
        ("/nowhere/launcher", "/nowhere/launcher"),
        ("/bin/true", "does not work under it"),
        ("/etc/passwd", "ermission denied"),
    ] {
        let sandbox = probe(Settings {
            launcher: Some(PathBuf::from(launcher)),
            ..Settings::default()
        })
        .await;
        let found = landlock(&sandbox);
        assert_eq!(found.state, State::NotEnforced);
        assert!(found.detail.contains(reason), "{}", found.detail);
        assert!(sandbox.gaps().unwrap().contains("landlock"));
        assert_eq!(output(&sandbox, "echo started").await, "started\n");
    }
}

#[tokio::test]
#[ignore = "run by the test below, on a host that refuses"]
async fn be_a_server() {
    let sandbox = probe(with_launcher()).await;
    let found = landlock(&sandbox);
    println!("> {} {}", found.state.name(), found.detail);
    println!("> {}", found.advice.unwrap_or_default());
    println!("> {}", output(&sandbox, "echo started").await);
}

/// What a server says on a kernel that answers this to one of Landlock's calls.
fn server_where(call: libc::c_long, answer: i32) -> String {
    let action = SeccompAction::Errno(answer.unsigned_abs());
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let rules = [(call, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, architecture).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", "be_a_server"])
        .stderr(Stdio::inherit());
    #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
    // SAFETY: the filter is compiled; putting it up is two system calls.
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&filter).map_err(io::Error::other));
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_kernel_that_refuses_it_is_reported_and_commands_run() {
    for (call, answer, words) in [
        (libc::SYS_landlock_create_ruleset, libc::ENOSYS, "no Landlock"),
        (libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP, "lsm="),
        (libc::SYS_landlock_create_ruleset, libc::EPERM, "newer runtime"),
        (libc::SYS_landlock_add_rule, libc::ENOMEM, "does not work under it"),
        (libc::SYS_landlock_restrict_self, libc::E2BIG, "does not work under it"),
    ] {
        let text = server_where(call, answer);
        for wanted in ["> not_enforced", words, "> started"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

#[tokio::test]
async fn git_stays_for_its_mount_to_hold() {
    let directory = worktree();
    fs::create_dir(directory.path().join(".git")).unwrap();
    let job = Job::shell(
        "echo x >.git/config; mv .git other; echo x >file",
        directory.path().to_owned(),
    );
    probe(with_launcher()).await.run(job).await.unwrap();
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!((names(directory.path()), names(&directory.path().join(".git"))), (2, 0));
}
