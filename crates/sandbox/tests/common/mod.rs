//! What the tests of the bubblewrap tier share.

#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::{Finished, Job, Sandbox, Settings, Tier};
use tempfile::TempDir;

pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::probe(Tier::Bubblewrap, Settings::default()).await.unwrap()
}

pub(crate) fn worktree() -> TempDir {
    tempfile::Builder::new().prefix("work tree ").tempdir().unwrap()
}

/// Runs a shell command in a fresh worktree of a fresh sandbox.
pub(crate) async fn run(command: &str) -> Finished {
    let folder = worktree();
    sandbox()
        .await
        .run(Job::shell(command, folder.path().to_owned()))
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
    let started = Instant::now();
    while !fact() {
        assert!(started.elapsed() < Duration::from_secs(30), "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
