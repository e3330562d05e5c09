//! Landlock in a sandbox: what only it stops, what works as without it, and hosts without it. This program runs itself
//! there: the ignored tests are the commands and servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod actions;
#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use actions::{STOPPED, actions};
use common::{as_ordinary_user, copied_program, with_launcher, worktree};
use sandbox::{Enforcement, Job, Property, Sandbox, Settings, State, Tier};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn do_it_all() {
    for (name, result) in actions() {
        let answer = result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        println!("> {name}={answer}");
    }
}

/// The result of each action in a sandbox.
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

/// Whether this kernel enforces Landlock; if not, prints what is missing.
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

/// Checks that all actions succeed as without Landlock, except those that it should stop.
async fn check_actions() {
    let (with, without) = (probe(with_launcher()).await, probe(Settings::default()).await);
    if !is_enforced(&with) {
        return;
    }
    let (with, mut without) = (answers(&with).await, answers(&without).await);
    for (name, error) in STOPPED.into_iter().zip([libc::EACCES, libc::EPERM]) {
        // Otherwise it would not prove that Landlock stops it.
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
async fn landlock_stops_only_intended_actions() {
    check_actions().await;
}

#[tokio::test]
#[ignore = "run by the test below, as an ordinary user"]
async fn as_this_user() {
    assert!(!rustix::process::geteuid().is_root());
    check_actions().await;
}

#[tokio::test]
async fn landlock_stops_the_same_under_ordinary_user() {
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
async fn git_works_under_landlock() {
    let command = "set -e; git init -q . 2>/dev/null; git config user.email a@b; git config user.name a; mkdir a b; \
                   echo x >a/x; git add .; git commit -qm one; git mv a/x b/y; git commit -qm two; git gc -q; \
                   git clone -q . clone; git -C clone log --oneline | wc -l; mv clone/b/y moved; cat moved";
    assert_eq!(output(&probe(with_launcher()).await, command).await, "2\nx\n");
}

/// The launcher and the shell set the same limits, pass on no descriptors, and report a missing program alike.
#[tokio::test]
async fn launcher_and_shell_start_commands_alike() {
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
    let (launcher_main, by_shell) = (probe(settings).await, probe(by_shell).await);
    assert_eq!(output(&launcher_main, command).await, output(&by_shell, command).await);
    assert!(output(&launcher_main, "ulimit -f").await.starts_with("2048"));
    for (program, code) in [("no-such-program", 127), ("/usr", 126), ("./not-executable", 126)] {
        let directory = worktree();
        fs::write(directory.path().join("not-executable"), "").unwrap();
        for sandbox in [&launcher_main, &by_shell] {
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
async fn replaced_launcher_still_starts_commands() {
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
async fn owner_only_launcher_works() {
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
async fn unusable_launcher_is_reported_and_commands_run() {
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
async fn run_server() {
    let sandbox = probe(with_launcher()).await;
    let found = landlock(&sandbox);
    println!("> {} {}", found.state.name(), found.detail);
    println!("> {}", found.advice.unwrap_or_default());
    println!("> {}", output(&sandbox, "echo started").await);
}

/// The output of a server on a kernel that gives this answer to a Landlock call.
fn server_where(call: libc::c_long, answer: i32) -> String {
    let action = SeccompAction::Errno(answer.unsigned_abs());
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let rules = [(call, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, architecture).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", "run_server"])
        .stderr(Stdio::inherit());
    #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
    // SAFETY: the filter is compiled; applying it takes two system calls.
    unsafe {
        command.pre_exec(move || seccompiler::apply_filter(&filter).map_err(io::Error::other));
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn kernel_without_landlock_is_reported_and_commands_run() {
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
async fn git_directory_stays_protected_by_its_mount() {
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
