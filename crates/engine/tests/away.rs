//! A database that goes away, and tasks that are taken away: nothing is lost, nothing hangs.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::run::RunState;
use harness::{Harness, done, file, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::{Path, PathBuf};

/// A number that the database has.
async fn number(harness: &Harness, question: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(question.to_owned()))
        .fetch_one(harness.database.pool())
        .await
        .unwrap()
}

/// Waits until the database says so.
async fn event(harness: &Harness, question: &str) {
    while number(harness, question).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// The first file of that name in any worktree, once there is one.
async fn written(harness: &Harness, name: &str) -> PathBuf {
    let worktrees = harness.directory.path().join("data/worktrees");
    loop {
        let entries = std::fs::read_dir(&worktrees).into_iter().flatten().flatten();
        if let Some(file) = entries.map(|entry| entry.path().join(name)).find(|path| path.exists()) {
            return file;
        }
        tokio::task::yield_now().await;
    }
}

/// Lets nobody connect to the test's database, or everybody again.
async fn connections(harness: &Harness, allowed: bool) {
    let options = harness.database.options();
    let name = options.get_database().unwrap().to_owned();
    let mut admin = PgConnection::connect_with(&options.clone().database("postgres"))
        .await
        .unwrap();
    for statement in [
        format!("alter database {name} with allow_connections {allowed}"),
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and not {allowed}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    admin.close().await.unwrap();
}

fn files() -> Vec<(&'static str, &'static str)> {
    vec![("README.md", "read me\n")]
}

#[tokio::test(flavor = "multi_thread")]
async fn database_outage_costs_no_attempt_and_no_call() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[])])),
        Rule::worker("long").turn(1).call(
            "shell",
            json!({"command": "touch begun; while [ ! -e go ]; do sleep 0.05; done; echo 1 > long"}),
        ),
        Rule::worker("long").turn(2).call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, None).await;
    let begun = written(&harness, "begun").await;
    connections(&harness, false).await;
    std::fs::write(begun.with_file_name("go"), "").unwrap();
    written(&harness, "long").await;
    while harness.engine.ready().await.database {}
    connections(&harness, true).await;
    // Every connection that broke is met once; the test's own questions are not patient.
    let mut answers = 0;
    while answers < 50 {
        answers = if harness.engine.ready().await.database {
            answers + 1
        } else {
            0
        };
    }
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    assert_eq!(harness.calls_for("long"), 2);
    assert_eq!(
        number(&harness, "select (attempt + failures + crashes)::bigint from task").await,
        1
    );
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_task_is_claimed_again_and_its_old_worker_stopped() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task")
            .turn(1)
            .call("shell", json!({"command": "touch begun; sleep 600"})),
        Rule::worker("task")
            .turn(2)
            .call("write_file", file("new", "1\n"))
            .call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, None).await;
    written(&harness, "begun").await;
    // A claim whose answer never came: the database says that this process holds the task, under a fence that no
    // worker here knows.
    sqlx::query("update task set fence = fence + 1")
        .execute(harness.database.pool())
        .await
        .unwrap();
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    assert_eq!(harness.calls_for("task"), 2);
    // The one that slept was stopped: nothing keeps the process from ending.
    harness.engine.drain().await;
    assert!(
        std::fs::read_dir(harness.directory.path().join("data/worktrees"))
            .unwrap()
            .next()
            .is_none()
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_tool_results_are_in_the_tree_after_a_restart() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task")
            .turn(1)
            .call("write_file", file("kept", "1\n"))
            .call("shell", json!({"command": "touch begun; sleep 600"}))
            .call("write_file", file("never", "1\n")),
        Rule::worker("task").turn(2).call("finish", done()),
    ]);
    let mut harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, None).await;
    written(&harness, "begun").await;
    harness.reopen().await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    assert_eq!(harness.calls_for("task"), 2);
    assert_eq!(std::fs::read_to_string(repository.join("kept")).unwrap(), "1\n");
    assert!(!Path::exists(&repository.join("begun")) && !Path::exists(&repository.join("never")));
    event(
        &harness,
        "select count(*) from task where attempt = 1 and failures = 0 and crashes = 0",
    )
    .await;
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_report_may_contain_any_character() {
    let report = json!({"outcome": "done", "summary": "wrote \u{0} and more"});
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("task", &[])])),
        Rule::worker("task")
            .call("write_file", file("new", "1\n"))
            .call("finish", report),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, None).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    harness.assert_rows_agree().await;
}
