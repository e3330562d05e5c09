//! Helpers for the tests of the bubblewrap tier.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandbox::{Finished, Job, Sandbox, Settings, Tier};
use tempfile::TempDir;

/// A guard against hanging, far longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A sandbox as the product uses it, with Landlock if the kernel has it.
pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::probe(Tier::Bubblewrap, with_launcher()).await.unwrap()
}

pub(crate) fn with_launcher() -> Settings {
    Settings {
        launcher: Some(launcher()),
        ..Settings::default()
    }
}

/// The launcher beside this program, if both were copied for another account.
fn launcher() -> PathBuf {
    let beside = std::env::current_exe().unwrap().with_file_name("launcher");
    if beside.exists() {
        beside
    } else {
        PathBuf::from(env!("CARGO_BIN_EXE_sandbox-launcher"))
    }
}

/// A copy of this program and of the launcher in a directory that any account may read.
pub(crate) fn copied_program() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("attacker");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::copy(launcher(), place.path().join("launcher")).unwrap();
    (place, program)
}

/// Runs an ignored test of this program as an ordinary user, and returns its output.
pub(crate) fn as_ordinary_user(test: &str) -> String {
    let (_place, program) = copied_program();
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(54_321), Some(54_321)).unwrap();
    let output = Command::new(&program)
        .args(["--ignored", "--exact", "--nocapture", test])
        .uid(54_321)
        .gid(54_321)
        .current_dir("/")
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin".as_ref()), ("HOME", home.path().as_os_str())])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

pub(crate) fn worktree() -> TempDir {
    tempfile::Builder::new().prefix("work tree ").tempdir().unwrap()
}

/// Runs a shell command in a fresh worktree of a fresh sandbox.
pub(crate) async fn run(command: &str) -> Finished {
    let directory = worktree();
    sandbox()
        .await
        .run(Job::shell(command, directory.path().to_owned()))
        .await
        .unwrap()
}

/// Processes of the machine whose command line contains the marker.
pub(crate) fn processes_with(marker: &str) -> usize {
    let numeric = |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| numeric(&entry.file_name()))
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(marker))
        .count()
}

pub(crate) async fn appears(path: &Path) {
    becomes(|| path.exists()).await;
}

pub(crate) async fn becomes(mut fact: impl FnMut() -> bool) {
    let poll = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, poll)
        .await
        .expect("the expected fact did not appear");
}
