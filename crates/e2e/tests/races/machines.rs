//! Machines that share a database and a remote hub but no disk: landing is a push with a lease.

use crate::{
    harness::Harness,
    process::Process,
    stopped::{ENDED, taken_over_by},
};
use e2e::eventually;

/// Settings of a server that claims only workspace effects and merges.
const NO_ATTEMPTS: (&str, &str) = ("ORCHESTRATOR_WORKERS", "0");

impl Harness {
    /// A server without workers of its own, and a worker on another machine; a run is submitted.
    async fn server_and_worker(&self, check: &str) -> (Process, Process) {
        let server = self.enter("first", "", &[NO_ATTEMPTS]).await;
        let worker = self.enter_worker("second").await;
        server.submit(&self.repository, check).await;
        (server, worker)
    }
}

/// A check that waits for a file, so that the test can act before the first landing.
fn waiting(harness: &Harness) -> String {
    let go = harness.directory.path().join("signals/go");
    format!("until test -e {}; do sleep 0.05; done; sh test.sh", go.display())
}

fn let_go(harness: &Harness) {
    std::fs::write(harness.directory.path().join("signals/go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_worker_does_the_work_of_a_server() {
    let harness = Harness::open_apart(0).await;
    let (server, worker) = harness.server_and_worker("sh test.sh").await;
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    let at_the_worker = "select 1 where not exists (select 1 from model_call c left join process p on p.id = c.process
             where c.role = 'worker' and p.name not like '%/second/%' or p.id is null)";
    assert!(harness.holds(at_the_worker).await, "{}", harness.log());
    let in_the_workspace = "select 1 where 2 = (select count(*) from effect e join process p on p.id = e.process
             where e.kind in ('prepare', 'deliver') and p.name like '%/first/%')";
    assert!(harness.holds(in_the_workspace).await, "{}", harness.log());
    let refused = worker.refused(&harness.repository).await;
    assert!(refused.contains("remote worker without workspaces"), "{refused}");
    server.leave().await;
    worker.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_continues_the_work_of_a_crashed_one() {
    let harness = Harness::open_apart(400).await;
    let (server, worker) = harness.server_and_worker("sh test.sh").await;
    let recorded = "select 1 from attempt where snapshot is not null and ended_at is null and number = 1";
    harness.fact("an attempt has recorded its tree", recorded).await;
    let asked = harness.model.journal().len();
    worker.leave().await;
    let third = harness.enter_worker("third").await;
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    // No task was restarted, and only calls running at the crash were repeated.
    assert!(
        !harness.holds("select 1 from attempt where number > 1").await,
        "{}",
        harness.log()
    );
    let all = harness.model.journal().len();
    assert!(
        all <= 7 + 2,
        "{asked} of {all} calls before the crash\n{}",
        harness.log()
    );
    server.leave().await;
    third.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_stopped_in_a_push_changes_nothing_after_takeover() {
    let harness = Harness::open_apart(0).await;
    // Only the worker can merge, until it is stopped.
    let server = harness.enter("first", "", &[NO_ATTEMPTS]).await;
    server.submit(&harness.repository, &waiting(&harness)).await;
    harness.fact("the run is planned", "select 1 from task").await;
    server.leave().await;
    let worker = harness.enter_worker("second").await;
    let stops = format!("kill -STOP {}", worker.pid());
    harness.before_the_branch_moves(&harness.hub(), &stops);
    let_go(&harness);
    harness.branch_moves().await;
    let server = harness.enter("first", "", &[]).await;
    taken_over_by(&harness, worker, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_push_after_a_takeover_changes_nothing() {
    let harness = Harness::open_apart(0).await;
    let server = harness.enter("first", "", &[NO_ATTEMPTS]).await;
    server.submit(&harness.repository, &waiting(&harness)).await;
    harness.fact("the run is planned", "select 1 from task").await;
    server.leave().await;
    let worker = harness.enter_worker("second").await;
    // The process is stopped, and its push waits in the shared hub until another process has landed the same.
    let later = harness.directory.path().join("signals/later");
    let stops = format!(
        "kill -STOP {}\nuntil test -e {}; do sleep 0.05; done",
        worker.pid(),
        later.display()
    );
    harness.before_the_branch_moves(&harness.hub(), &stops);
    let_go(&harness);
    harness.branch_moves().await;
    let server = harness.enter("first", "", &[]).await;
    harness
        .fact("another has landed it", "select 1 from merge where state = 'landed'")
        .await;
    std::fs::write(later, "").unwrap();
    taken_over_by(&harness, worker, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_landings_count_once() {
    let harness = Harness::open_apart(0).await;
    let server = harness.enter("first", "", &[]).await;
    server.submit(&harness.repository, &waiting(&harness)).await;
    harness.fact("the run is planned", "select 1 from task").await;
    // Between the server's check and its push, the branch moves to a commit that contains the pushed one.
    harness.before_the_branch_moves(
        &harness.hub(),
        "export GIT_AUTHOR_NAME=U GIT_AUTHOR_EMAIL=u@localhost GIT_COMMITTER_NAME=U GIT_COMMITTER_EMAIL=u@localhost\n\
         git update-ref $1 $(git commit-tree -p $3 -m beyond $3^{tree}) $2",
    );
    let_go(&harness);
    harness.fact("the run ends", ENDED).await;
    let complete = "select 1 from run where state = 'complete'";
    assert!(harness.holds(complete).await, "{}", harness.log());
    let branch: String = sqlx::query_scalar("select branch from run")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    let subjects = e2e::git(&harness.repository, &["log", "--format=%s", &branch]);
    assert_eq!(
        subjects.lines().filter(|subject| *subject == "beyond").count(),
        1,
        "{subjects}"
    );
    assert_eq!(
        subjects.lines().filter(|subject| subject.starts_with("Merge ")).count(),
        3,
        "{subjects}"
    );
    server.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_shared_hub_costs_no_attempt() {
    let harness = Harness::open_apart(400).await;
    let server = harness.enter("first", "", &[]).await;
    server.submit(&harness.repository, "sh test.sh").await;
    let recorded = "select 1 from attempt where snapshot is not null and ended_at is null";
    harness.fact("an attempt has recorded its tree", recorded).await;
    let (hub, away) = (harness.hub(), harness.directory.path().join("away"));
    std::fs::rename(&hub, &away).unwrap();
    // More often than a task has attempts.
    eventually("it is missed again and again", || async {
        (harness.log().matches("shared hub").count() >= 16).then_some(())
    })
    .await;
    let shown = "select 1 from task where blocked_on = 'the shared hub'";
    harness.fact("a task shows what it waits for", shown).await;
    std::fs::rename(&away, &hub).unwrap();
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    assert!(!harness.holds(shown).await);
    let blocked = "select 1 from event where kind = 'task_blocked' and data ->> 'on' = 'the shared hub'";
    assert!(harness.holds(blocked).await, "{}", harness.log());
    assert!(
        !harness
            .holds("select 1 from task where failures > 0 or attempt > 3")
            .await,
        "{}",
        harness.log()
    );
    server.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_locks_in_the_shared_hub_cost_no_attempt() {
    let harness = Harness::open_apart(0).await;
    let server = harness.enter("first", "", &[]).await;
    server.submit(&harness.repository, &waiting(&harness)).await;
    harness.fact("work waits to be merged", "select 1 from merge").await;
    let branch: String = sqlx::query_scalar("select branch from run")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    for name in [format!("refs/heads/{branch}"), "packed-refs".into(), "HEAD".into()] {
        std::fs::write(harness.hub().join(format!("{name}.lock")), "").unwrap();
    }
    let_go(&harness);
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    assert!(
        !harness
            .holds("select 1 from task where failures > 0 or attempt > 1")
            .await,
        "{}",
        harness.log()
    );
    server.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_without_the_hub_does_not_block_others() {
    let harness = Harness::open_apart(0).await;
    let nowhere = format!("file://{}/nowhere/{{hub}}", harness.directory.path().display());
    let worker = harness
        .enter_worker_with("second", &[("ORCHESTRATOR_HUBS", &nowhere)])
        .await;
    let server = harness.enter("first", "", &[]).await;
    server.submit(&harness.repository, "sh test.sh").await;
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    assert!(
        !harness.holds("select 1 from task where failures > 0").await,
        "{}",
        harness.log()
    );
    server.leave().await;
    worker.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_without_the_model_does_not_block_others() {
    let harness = Harness::open_apart(100).await;
    let server = harness.enter("first", "", &[NO_ATTEMPTS]).await;
    // One does not have the model, and for the other no provider answers.
    let without = [("OPENAI_API_KEY", ""), ("OPENAI_BASE_URL", "")];
    let ignorant = harness.enter_worker_with("second", &without).await;
    server.submit(&harness.repository, "sh test.sh").await;
    eventually("it gives back what it can't do", || async {
        harness
            .log()
            .contains("a task that can't be worked on here")
            .then_some(())
    })
    .await;
    ignorant.leave().await;
    let silent = [("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")];
    let deaf = harness.enter_worker_with("third", &silent).await;
    eventually("it gives back what it can't do", || async {
        harness
            .log()
            .contains("its model does not answer on this machine")
            .then_some(())
    })
    .await;
    let able = harness.enter_worker("fourth").await;
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    assert!(
        !harness.holds("select 1 from task where failures > 0").await,
        "{}",
        harness.log()
    );
    for process in [server, deaf, able] {
        process.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_worker_removes_only_its_own_copies() {
    let harness = Harness::open_apart(0).await;
    let (server, worker) = harness.server_and_worker("sh test.sh").await;
    harness.fact("the run ends", ENDED).await;
    harness.assert_whole().await;
    let cleaned = worker.clean().await;
    assert!(cleaned["references"].as_u64().unwrap() > 0, "{cleaned}");
    assert!(
        !harness.holds("select 1 from run where expired_at is not null").await,
        "{cleaned}"
    );
    harness.assert_whole().await;
    // Neither does its `clean` command after the worker has ended.
    let (data_dir, config) = (
        worker.data_dir.clone(),
        harness.directory.path().join("orchestrator.toml"),
    );
    worker.leave().await;
    let by_itself = e2e::orchestrator(
        &["clean", "--older-than", "0", "--data-dir", data_dir.to_str().unwrap()],
        &[
            ("DATABASE_URL", &harness.database.url()),
            ("ORCHESTRATOR_CONFIG", config.to_str().unwrap()),
        ],
        harness.directory.path(),
    );
    assert!(
        by_itself.status.success(),
        "{}",
        String::from_utf8_lossy(&by_itself.stderr)
    );
    assert!(!harness.holds("select 1 from run where expired_at is not null").await);
    harness.assert_whole().await;
    let cleaned = server.clean().await;
    assert!(cleaned["references"].as_u64().unwrap() > 0, "{cleaned}");
    assert!(
        harness.holds("select 1 from run where expired_at is not null").await,
        "{cleaned}"
    );
    assert_eq!(e2e::git(&harness.hub(), &["for-each-ref"]), "");
    server.leave().await;
}
