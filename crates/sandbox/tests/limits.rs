//! The limits of a job: memory, processes, its worktree, the disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{becomes, processes_with, worktree};
use sandbox::{CancellationToken, Exit, Finished, Job, Limit, Location, Property, Sandbox, Settings, State, Tier};

const MEBIBYTE: u64 = 1 << 20;

/// Makes the shells of a job wait until the job is ended for what they hold.
const HOLD: &str = "sleep 600";

async fn probe(settings: Settings) -> Sandbox {
    Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap()
}

/// A sandbox with these settings, if this account may enforce the property.
async fn limiting(property: Property, settings: Settings) -> Option<Sandbox> {
    let sandbox = probe(settings).await;
    let found = sandbox.enforcement();
    let found = found.iter().find(|found| found.property == property).unwrap();
    if found.state == State::Enforced {
        return Some(sandbox);
    }
    println!("skipped: {property} is not enforced here: {}", found.detail);
    None
}

async fn run_in(sandbox: &Sandbox, directory: &Path, command: &str) -> Finished {
    sandbox.run(Job::shell(command, directory.to_owned())).await.unwrap()
}

fn with_memory(mebibytes: u64) -> Settings {
    Settings {
        memory_bytes: Some(mebibytes * MEBIBYTE),
        ..Settings::default()
    }
}

#[tokio::test]
async fn memory_limit_covers_all_processes_of_a_job() {
    let Some(sandbox) = limiting(Property::Memory, with_memory(64)).await else {
        return;
    };
    // Each `tail` holds the line it waits for the end of.
    let command = format!("for i in 1 2 3 4 5 6 7 8 9 10; do (head -c 12000000 /dev/zero; {HOLD}) | tail & done; wait");
    let finished = run_in(&sandbox, worktree().path(), &command).await;
    let bytes = 64 * MEBIBYTE;
    assert_eq!(finished.exit, Exit::OverLimit(Limit::Memory { bytes }));
    let words = Limit::Memory { bytes }.to_string();
    assert_eq!(words, "memory limit of 64 MiB (sandbox.memory_bytes)");
}

#[tokio::test]
async fn files_in_memory_count_as_memory() {
    let Some(sandbox) = limiting(Property::Memory, with_memory(64)).await else {
        return;
    };
    for place in ["/tmp/file", "$HOME/file", "/dev/shm/file"] {
        let command = format!("head -c 50000000 /dev/zero > /tmp/first; head -c 50000000 /dev/zero > {place}; {HOLD}");
        let finished = run_in(&sandbox, worktree().path(), &command).await;
        let bytes = 64 * MEBIBYTE;
        assert_eq!(finished.exit, Exit::OverLimit(Limit::Memory { bytes }), "{place}");
    }
}

#[tokio::test]
async fn total_memory_is_limited() {
    let settings = Settings {
        total_memory_bytes: Some(64 * MEBIBYTE),
        ..with_memory(1024)
    };
    let Some(sandbox) = limiting(Property::TotalMemory, settings).await else {
        return;
    };
    let finished = run_in(
        &sandbox,
        worktree().path(),
        &format!("head -c 99000000 /dev/zero > /tmp/x; {HOLD}"),
    )
    .await;
    let bytes = 64 * MEBIBYTE;
    assert_eq!(finished.exit, Exit::OverLimit(Limit::TotalMemory { bytes }));
}

#[tokio::test]
async fn fork_bomb_is_held_at_process_limit() {
    let settings = Settings {
        processes: 50,
        ..Settings::default()
    };
    let Some(sandbox) = limiting(Property::Processes, settings).await else {
        return;
    };
    let directory = worktree();
    let mut job = Job::shell(
        "bomb() { bomb 987201 | bomb 987201 & }; bomb; sleep 987201",
        directory.path().to_owned(),
    );
    job.time_limit = Duration::from_secs(3);
    let finished = sandbox.run(job).await.unwrap();
    assert_eq!(finished.reached, Some(Limit::Processes { count: 50 }), "{finished:?}");
    assert_eq!(processes_with("987201"), 0);
    // The machine and the next job are unaffected.
    assert!(run_in(&sandbox, directory.path(), "echo still here").await.succeeded());
}

#[tokio::test]
async fn jobs_get_a_smaller_cpu_weight() {
    let settings = Settings {
        cpu_weight: 20,
        ..Settings::default()
    };
    let Some(sandbox) = limiting(Property::CpuWeight, settings).await else {
        return;
    };
    let directory = worktree();
    let cancel = CancellationToken::new();
    let mut job = Job::shell("sleep 987203; true", directory.path().to_owned());
    job.cancel = cancel.clone();
    let seen = async {
        becomes(|| processes_with("sleep\0987203") > 0).await;
        let seen = groups_of("sleep\0987203");
        let weights: Vec<String> = seen.iter().filter_map(|group| weight(group)).collect();
        cancel.cancel();
        (seen, weights)
    };
    let (finished, (seen, weights)) = tokio::join!(sandbox.run(job), seen);
    assert_eq!(finished.unwrap().exit, Exit::Cancelled);
    assert!(weights == ["204"] || weights == ["20"], "{weights:?}");
    becomes(|| seen.iter().all(|group| !group.exists())).await;
    let of_all = seen[0].parent().unwrap().to_owned();
    assert!(of_all.exists());
    drop(sandbox);
    assert!(!of_all.exists());
}

fn weight(group: &Path) -> Option<String> {
    let text = fs::read_to_string(group.join("cpu.shares")).or_else(|_| fs::read_to_string(group.join("cpu.weight")));
    text.ok().map(|text| text.trim().to_owned())
}

/// The directories of the groups of a job's process.
fn groups_of(marker: &str) -> Vec<PathBuf> {
    let line = |process: &fs::DirEntry| fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
    let mut processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let process = processes.find(|process| line(process).starts_with(marker)).unwrap();
    let groups = fs::read_to_string(process.path().join("cgroup")).unwrap();
    let ours = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let name = if controllers.is_empty() { "" } else { controllers };
        path.contains("orchestrator-").then(|| {
            Path::new("/sys/fs/cgroup")
                .join(name)
                .join(path.trim_start_matches('/'))
        })
    });
    ours.collect()
}

/// Part of the test below: a server that is killed while its command runs.
#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn server_to_be_killed() {
    let place = PathBuf::from(std::env::var("SANDBOX_PLACE").unwrap());
    let sandbox = probe(Settings::default()).await;
    run_in(&sandbox, &place, "sleep 987204; true").await;
}

#[tokio::test]
async fn leftovers_of_killed_server_are_removed_at_next_start() {
    let Some(living) = limiting(Property::Memory, Settings::default()).await else {
        return;
    };
    let directory = worktree();
    let place = directory.path();
    let mut server = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "server_to_be_killed"])
        .env("SANDBOX_PLACE", place)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    becomes(|| processes_with("sleep\0987204") > 0).await;
    let left = groups_of("sleep\0987204");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!left.is_empty() && left.iter().all(|group| group.exists()));
    drop(probe(Settings::default()).await);
    assert!(left.iter().all(|group| !group.parent().unwrap().exists()));
    assert!(run_in(&living, place, "true").await.succeeded());
}

#[tokio::test]
async fn detached_process_ends_with_its_job_without_sandbox() {
    let sandbox = Sandbox::probe(Tier::None, Settings::default()).await.unwrap();
    let grouped =
        |found: &sandbox::Enforcement| found.property == Property::Processes && found.state == State::Enforced;
    if !sandbox.enforcement().iter().any(grouped) {
        println!("skipped: there are no control groups here");
        return;
    }
    let command = "setsid sleep 987202 > /dev/null 2>&1 & echo started";
    let finished = run_in(&sandbox, worktree().path(), command).await;
    assert_eq!(finished.output_head_tail, "started\n");
    becomes(|| processes_with("sleep\0987202") == 0).await;
}

/// Part of the test below: runs as an account without privileges.
#[tokio::test]
#[ignore = "run by the test below, as another user"]
async fn account_without_rights() {
    let sandbox = probe(Settings::default()).await;
    for found in sandbox.enforcement() {
        println!(
            "{}|{}|{}|{:?}",
            found.property.name(),
            found.state.name(),
            found.detail,
            found.advice
        );
    }
    println!("gaps|{}", sandbox.gaps().unwrap());
}

#[tokio::test]
async fn missing_enforcement_is_reported_with_advice() {
    let own = std::env::current_exe().unwrap();
    let shared = worktree();
    let program = shared.path().join("looks");
    fs::copy(&own, &program).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(shared.path(), everybody).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["--ignored", "--exact", "--nocapture", "account_without_rights"])
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output();
    let text = match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        other => {
            println!("skipped: no other user can build a sandbox here: {other:?}");
            return;
        }
    };
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let memory = line("memory|");
    assert!(
        memory.starts_with("memory|not_enforced|memory is not limited: /"),
        "{memory}"
    );
    assert!(memory.contains("Delegate=yes"), "{memory}");
    assert!(line("processes|").starts_with("processes|partly|"), "{text}");
    assert!(line("gaps|").contains("memory (not enforced"), "{text}");
}

fn with_worktree(mebibytes: u64, files: u64) -> Settings {
    Settings {
        worktree_bytes: mebibytes * MEBIBYTE,
        worktree_files: files,
        ..Settings::default()
    }
}

#[tokio::test]
async fn job_that_fills_worktree_is_stopped_and_next_may_clean_up() {
    let sandbox = probe(with_worktree(10, 1000)).await;
    let directory = worktree();
    // Many files, each far below the limit of one.
    let fill = format!("for i in 1 2 3 4 5 6 7 8; do head -c 4000000 /dev/zero > $i; done; {HOLD}");
    let finished = run_in(&sandbox, directory.path(), &fill).await;
    let limit = Limit::Bytes {
        location: Location::Worktree,
        bytes: 10 * MEBIBYTE,
    };
    assert_eq!(finished.exit, Exit::OverLimit(limit));
    assert_eq!(
        limit.to_string(),
        "limit of 10 MiB added to the worktree (sandbox.worktree_bytes)"
    );
    // It shrinks, so it is not stopped although it is above the limit.
    let clear = run_in(&sandbox, directory.path(), "rm 1; sleep 0.5; rm ?").await;
    assert_eq!(clear.exit, Exit::Code(0));
    assert!(run_in(&sandbox, directory.path(), "echo x > y").await.succeeded());
}

#[tokio::test]
async fn short_job_is_measured_afterwards() {
    let sandbox = probe(with_worktree(10, 1000)).await;
    let finished = run_in(&sandbox, worktree().path(), "head -c 40000000 /dev/zero > big").await;
    assert!(
        matches!(finished.exit, Exit::OverLimit(Limit::Bytes { .. })),
        "{finished:?}"
    );
    let many = "for i in $(seq 3000); do : > $i; done";
    let finished = run_in(&sandbox, worktree().path(), many).await;
    let limit = Limit::Files {
        location: Location::Worktree,
        count: 1000,
    };
    assert_eq!(finished.exit, Exit::OverLimit(limit));
}

#[tokio::test]
async fn jobs_of_one_worktree_share_its_limit() {
    let sandbox = probe(with_worktree(10, 1000)).await;
    let directory = worktree();
    fs::write(directory.path().join("repository"), vec![1; 30 << 20]).unwrap();
    let grow = |name: &str| format!("head -c 4000000 /dev/zero > {name}");
    assert!(run_in(&sandbox, directory.path(), &grow("one")).await.succeeded());
    assert!(run_in(&sandbox, directory.path(), &grow("two")).await.succeeded());
    let third = run_in(&sandbox, directory.path(), &grow("three")).await;
    assert!(matches!(third.exit, Exit::OverLimit(Limit::Bytes { .. })), "{third:?}");
}

#[tokio::test]
async fn sparse_files_and_depth_are_limited() {
    let sandbox = probe(with_worktree(100, 100_000)).await;
    let finished = run_in(&sandbox, worktree().path(), "truncate -s 1G sparse").await;
    assert!(
        matches!(finished.exit, Exit::OverLimit(Limit::Bytes { .. })),
        "{finished:?}"
    );
    let directory = worktree();
    let deep = "i=0; while [ $i -lt 600 ]; do mkdir d && cd -P d || exit 9; i=$((i+1)); done";
    let finished = run_in(&sandbox, directory.path(), deep).await;
    assert!(
        matches!(finished.exit, Exit::OverLimit(Limit::Depth { .. })),
        "{finished:?}"
    );
}

#[tokio::test]
async fn build_cache_growth_is_limited() {
    let sandbox = probe(with_worktree(10, 1000)).await;
    let (directory, cache) = (worktree(), worktree());
    fs::write(cache.path().join("old"), vec![1; 30 << 20]).unwrap();
    let fill = |bytes: u64| {
        let command = format!("head -c {bytes} /dev/zero > '{}/new{bytes}'", cache.path().display());
        let mut job = Job::shell(&command, directory.path().to_owned());
        job.extra_read_write = vec![cache.path().to_owned()];
        job
    };
    assert!(sandbox.run(fill(8_000_000)).await.unwrap().succeeded());
    assert!(sandbox.run(fill(8_000_001)).await.unwrap().succeeded());
    let limit = Limit::Bytes {
        location: Location::Shared,
        bytes: 10 * MEBIBYTE,
    };
    assert_eq!(
        sandbox.run(fill(40_000_000)).await.unwrap().exit,
        Exit::OverLimit(limit)
    );
}

#[tokio::test]
async fn disk_floor_stops_only_jobs_that_fill_the_disk() {
    let settings = Settings {
        disk_floor_bytes: u64::MAX,
        ..Settings::default()
    };
    let sandbox = probe(settings).await;
    let fill = format!("head -c 4000000 /dev/zero > big; {HOLD}");
    let finished = run_in(&sandbox, worktree().path(), &fill).await;
    assert_eq!(finished.exit, Exit::OverLimit(Limit::DiskFloor { bytes: u64::MAX }));
    assert!(
        run_in(&sandbox, worktree().path(), "echo x > small; sleep 0.5")
            .await
            .succeeded()
    );
}
