//! What fails by itself again and again comes to an end, with a reason, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use domain::{RunId, run::RunState};
use harness::{Harness, TIMEOUT, done, file, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const CHECK: &str = "echo 'ok 1 - there'; echo 1..1";
/// More than a branch's lease is taken in such a test.
const FENCES: u32 = 64;

/// One task whose worker waits, in its first attempt, until the test lets it go.
fn one_task() -> Scenario {
    let waits = "touch begun; until [ -e go ]; do sleep 0.02; done; rm begun go";
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .attempt(1)
            .call("shell", json!({"command": waits}))
            .call("write_file", file("src/first.txt", "one\n"))
            .call("finish", done()),
        Rule::worker("only")
            .call("write_file", file("src/second.txt", "two\n"))
            .call("finish", done()),
    ])
}

fn worktrees(harness: &Harness) -> PathBuf {
    harness.directory.path().join("data/worktrees").canonicalize().unwrap()
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Waits until the worker is at its first command, and returns its worktree.
async fn begun(harness: &Harness) -> PathBuf {
    let directory = worktrees(harness);
    let found = async {
        loop {
            let of_task = entries(&directory).into_iter().map(|name| directory.join(name));
            if let Some(tree) = of_task.into_iter().find(|tree| tree.join("begun").exists()) {
                return tree;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, found).await.unwrap()
}

/// Where the hub would note the worktree at a path, as `git::Hub` names it.
fn registration(hub: &Path, path: &Path) -> PathBuf {
    let digest = |path: &Path, length: usize| {
        let mut hashing = Command::new("git")
            .args(["hash-object", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = path.to_str().unwrap();
        hashing.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let hash = String::from_utf8(hashing.wait_with_output().unwrap().stdout).unwrap();
        hash[..length].to_owned()
    };
    let name = path.file_name().unwrap().to_str().unwrap();
    let readable: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    let name = format!("{readable}-{}-{}", digest(path.parent().unwrap(), 8), digest(path, 16));
    hub.join("worktrees").join(name)
}

fn gate(harness: &Harness, run: RunId, merge: u32, fence: u32) -> PathBuf {
    worktrees(harness).join(format!("{}.gate-{merge}.{fence}", run.0.simple()))
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_without_a_gate_checkout_is_sent_back_with_the_reason() {
    const TRIES: u32 = 5;
    let harness = Harness::open_with(one_task(), |settings| settings.merge_tries = TRIES).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await.id;
    let tree = begun(&harness).await;
    let hubs = harness.directory.path().join("data/hubs").canonicalize().unwrap();
    let hub = entries(&hubs).into_iter().find(|name| name.ends_with(".git")).unwrap();
    // A file stands where the hub would note the checkout: the checkout's directory is made, and then it fails.
    for fence in 1..=FENCES {
        fs::write(registration(&hubs.join(&hub), &gate(&harness, run, 1, fence)), "").unwrap();
    }
    fs::write(tree.join("go"), "").unwrap();

    // The second try of the task makes another merge, which nothing stands in the way of.
    let (state, reason) = harness.end(run).await;
    let log = harness.log(run).await;
    assert_eq!(state, RunState::Complete, "{reason}\n{log}");
    let shown = log
        .lines()
        .find(|line| line.contains("task_returned"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        shown.contains(&format!("{TRIES} times (limit merge_tries = {TRIES})")),
        "{shown}"
    );
    let row: (i32, String) = sqlx::query_as("select failures, last_failure from merge where id = 1")
        .fetch_one(harness.database.pool())
        .await
        .unwrap();
    assert_eq!(row.0, TRIES as i32);
    assert!(!row.1.is_empty());
    harness.engine.drain().await;
    assert_eq!(entries(&worktrees(&harness)), Vec::<String>::new(), "leftovers");
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_that_always_fails_ends_the_run_with_the_reason() {
    let harness = Harness::open_with(one_task(), |settings| settings.merge_tries = 2).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await.id;
    let tree = begun(&harness).await;
    // Somebody has put files where every checkout of every merge would be.
    for merge in 1..=9 {
        for fence in 1..=FENCES {
            fs::write(gate(&harness, run, merge, fence), "").unwrap();
        }
    }
    fs::write(tree.join("go"), "").unwrap();
    let (state, reason) = harness.end(run).await;
    assert_eq!(state, RunState::Failed);
    assert!(
        reason.contains("limit merge_tries = 2") && reason.contains("limit failures = 3"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_missing_from_the_hub_ends_the_run() {
    let harness = Harness::open_with(one_task(), |settings| settings.merge_tries = 2).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await.id;
    let tree = begun(&harness).await;
    let hubs = harness.directory.path().join("data/hubs");
    let hub = entries(&hubs).into_iter().find(|name| name.ends_with(".git")).unwrap();
    harness::git(&hubs.join(hub), &["update-ref", "-d", &git::refs::integration(&run)]);
    fs::write(tree.join("go"), "").unwrap();
    let (state, reason) = harness.end(run).await;
    assert_eq!(state, RunState::Failed, "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_command_of_a_missing_program_fails_the_run_before_the_first_model_call() {
    for (check, program) in [
        ("no-such-program --all", "no-such-program"),
        ("CI=1 no-such-program", "no-such-program"),
        ("cd . && no-such-program | tee log", "no-such-program"),
        ("timeout 60 no-such-program", "no-such-program"),
        ("sh -c 'no-such-program'", "no-such-program"),
        ("/no/such/program test", "/no/such/program"),
    ] {
        let harness = Harness::open(one_task()).await;
        let repository = harness.repository(&[("README.md", "read me\n")]);
        let run = harness.submit(&repository, Some(check)).await.id;
        let (state, reason) = harness.end(run).await;
        assert_eq!(state, RunState::Failed, "{check}");
        assert!(
            reason.contains(&format!("`{check}` can't start: `{program}` is not found")) && reason.contains("--check"),
            "{reason}"
        );
        assert_eq!(harness.model.journal().len(), 0, "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_command_that_a_task_creates_is_not_refused() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .call("write_file", file("check.sh", "test -e check.sh\n"))
            .call("shell", json!({"command": "chmod +x check.sh"}))
            .call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, Some("./check.sh && sh check.sh")).await.id;
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
}
