//! How commands end, and that no process of them remains.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{appears, becomes, processes_with, run, sandbox, worktree};
use sandbox::{CancellationToken, Exit, Job, Sandbox, Settings, Tier};

#[tokio::test]
async fn output_keeps_its_order() {
    let finished = run("echo one; echo two >&2; echo three; exit 7").await;
    assert_eq!(finished.exit, Exit::Code(7));
    assert_eq!(finished.output_head_tail, "one\ntwo\nthree\n");
    assert!(finished.created_in > Duration::ZERO && finished.created_in <= finished.duration);
}

#[tokio::test]
async fn output_is_bounded_in_memory_and_complete_in_file() {
    let (directory, outputs) = (worktree(), worktree());
    let file = outputs.path().join("out put.txt");
    let mut job = Job::shell("seq 1 200000", directory.path().to_owned());
    job.output_limit_bytes = 2000;
    job.output_file = Some(file.clone());
    let finished = sandbox().await.run(job).await.unwrap();
    let text = &finished.output_head_tail;
    assert!(finished.output_cut && text.len() < 2300, "{}", text.len());
    assert!(
        text.starts_with("1\n2\n") && text.ends_with("199999\n200000\n"),
        "{text}"
    );
    assert!(text.contains(file.to_str().unwrap()), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().len(), finished.output_bytes);
}

#[tokio::test]
async fn output_file_stops_at_its_limit() {
    let (directory, outputs) = (worktree(), worktree());
    let settings = Settings {
        output_file_bytes: 1000,
        ..Settings::default()
    };
    let sandbox = Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap();
    let mut job = Job::shell("seq 1 100000", directory.path().to_owned());
    job.output_limit_bytes = 100;
    job.output_file = Some(outputs.path().join("out"));
    let finished = sandbox.run(job).await.unwrap();
    assert!(finished.succeeded() && finished.output_head_tail.contains("up to its size limit"));
    assert_eq!(fs::metadata(outputs.path().join("out")).unwrap().len(), 1000);
}

#[tokio::test]
async fn background_and_setsid_children_end_with_command() {
    for (marker, command) in [
        ("987101", "sleep 987101 & echo started"),
        ("987102", "setsid sh -c 'sleep 987102' & echo started"),
    ] {
        let finished = run(command).await;
        assert_eq!(
            (finished.exit, finished.output_head_tail.as_str()),
            (Exit::Code(0), "started\n")
        );
        assert_eq!(processes_with(&format!("sleep\0{marker}")), 0);
    }
}

#[tokio::test]
async fn timeout_kills_process_tree_and_keeps_output() {
    let directory = worktree();
    let command = "setsid sleep 987103 & echo before; sleep 987103";
    let mut job = Job::shell(command, directory.path().to_owned());
    job.time_limit = Duration::from_millis(500);
    let finished = sandbox().await.run(job).await.unwrap();
    assert_eq!(
        (finished.exit, finished.output_head_tail.as_str()),
        (Exit::TimedOut, "before\n")
    );
    assert_eq!(processes_with("sleep\0987103"), 0);
}

#[tokio::test]
async fn cancelling_kills_process_tree() {
    let directory = worktree();
    let mut job = Job::shell(
        "setsid sleep 987104 & touch ready; sleep 987104",
        directory.path().to_owned(),
    );
    let cancel = CancellationToken::new();
    job.cancel = cancel.clone();
    let sandbox = sandbox().await;
    let (finished, ()) = tokio::join!(sandbox.run(job), async {
        appears(&directory.path().join("ready")).await;
        cancel.cancel();
    });
    assert_eq!(finished.unwrap().exit, Exit::Cancelled);
    assert_eq!(processes_with("sleep\0987104"), 0);
}

#[tokio::test]
async fn dropping_the_future_kills_process_tree() {
    let directory = worktree();
    let sandbox = sandbox().await;
    let job = Job::shell(
        "setsid sleep 987105 & touch ready; sleep 987105",
        directory.path().to_owned(),
    );
    let ready = directory.path().join("ready");
    tokio::select! {
        finished = sandbox.run(job) => panic!("it ended by itself: {finished:?}"),
        () = appears(&ready) => {}
    }
    becomes(|| processes_with("sleep\0987105") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_outlive_requesting_thread() {
    let directory = worktree();
    let (ready, go) = (directory.path().join("ready"), directory.path().join("go"));
    let sandbox = std::sync::Arc::new(sandbox().await);
    let job = Job::shell(
        "touch ready; while [ ! -e go ]; do :; done; echo done",
        directory.path().to_owned(),
    );
    let mut running = Box::pin(async move { sandbox.run(job).await });
    let runtime = tokio::runtime::Handle::current();
    let short_lived = std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                finished = &mut running => panic!("it ended by itself: {finished:?}"),
                () = appears(&ready) => {}
            }
        });
        running
    });
    let running = tokio::task::spawn_blocking(|| short_lived.join().unwrap())
        .await
        .unwrap();
    fs::write(go, "").unwrap();
    assert_eq!(running.await.unwrap().output_head_tail, "done\n");
}

#[tokio::test]
async fn files_cannot_exceed_size_limit() {
    let directory = worktree();
    let settings = Settings {
        file_bytes: 1024 * 1024,
        ..Settings::default()
    };
    let sandbox = Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap();
    let job = Job::shell("head -c 3000000 /dev/zero > big", directory.path().to_owned());
    assert!(!sandbox.run(job).await.unwrap().succeeded());
    assert_eq!(fs::metadata(directory.path().join("big")).unwrap().len(), 1024 * 1024);
}

#[tokio::test]
async fn missing_command_is_its_own_failure() {
    let directory = worktree();
    let job = Job::new(vec!["no-such-program".to_owned()], directory.path().to_owned());
    let finished = sandbox().await.run(job).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(127));
    assert!(
        finished.output_head_tail.contains("no-such-program"),
        "{}",
        finished.output_head_tail
    );
}

#[tokio::test]
async fn command_has_higher_oom_score() {
    assert_eq!(run("cat /proc/self/oom_score_adj").await.output_head_tail, "800\n");
}

/// Part of the test below: a process that is killed while its sandbox is set up.
#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn owner_to_be_killed() {
    let place = std::path::PathBuf::from(std::env::var("SANDBOX_PLACE").unwrap());
    let settings = Settings {
        bubblewrap: place.join("slow-bubblewrap"),
        ..Settings::default()
    };
    let sandbox = Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap();
    fs::write(place.join("hold"), "").unwrap();
    let job = Job::shell("touch ran; sleep 987130", place.join("worktree"));
    sandbox.run(job).await.unwrap();
}

#[tokio::test]
async fn command_never_starts_if_owner_dies_during_setup() {
    let directory = worktree();
    let place = directory.path();
    fs::create_dir(place.join("worktree")).unwrap();
    // If these tests run as root, bubblewrap runs under another account.
    fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
    let slow = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nif [ -e hold ]; then touch held; until [ -e go ]; do sleep 0.01; done; fi\n\
                exec bwrap \"$@\"\n";
    fs::write(place.join("slow-bubblewrap"), slow).unwrap();
    fs::set_permissions(place.join("slow-bubblewrap"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "owner_to_be_killed"])
        .env("SANDBOX_PLACE", place)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    becomes(|| place.join("held").exists()).await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    fs::write(place.join("go"), "").unwrap();
    let word = place.to_str().unwrap();
    becomes(|| processes_with(word) == 0).await;
    assert!(!place.join("worktree/ran").exists());
}

#[tokio::test]
async fn sandbox_of_a_reading_process_runs_no_command() {
    let directory = tempfile::tempdir().unwrap();
    let job = sandbox::Job::shell("touch made", directory.path().to_owned());
    let error = sandbox::Sandbox::unavailable().run(job).await.unwrap_err();
    assert!(matches!(error, sandbox::SandboxError::Unavailable), "{error}");
    assert!(!directory.path().join("made").exists());
}
