//! Commands that read change nothing; commands that make one change start nothing else.

use crate::said;
use domain::RunId;
use e2e::{Product, database_of, eventually, orchestrator, plan, signal};
use rustix::process::Signal;
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::process::Output;

/// Two runs, each with a task that works until it is stopped.
async fn two_unfinished(product: &Product) -> (RunId, RunId) {
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let first = product.submit(&workspace, None).await;
    let second = product.submit(&workspace, None).await;
    for run in [first, second] {
        eventually("its task is at work", || async {
            let run = product.client.run(&run.to_string()).await.ok()?;
            (run.tasks.active == 1).then_some(())
        })
        .await;
    }
    (first, second)
}

fn endless() -> Scenario {
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[])])),
        Rule::worker("long").call("shell", json!({"command": "sleep 300"})),
    ])
}

fn command(product: &Product, arguments: &[&str]) -> Output {
    let data_dir = product.data_dir();
    let arguments = [arguments, &["--data-dir", data_dir.to_str().unwrap()]].concat();
    let model = product.model.base_url();
    let environment = [
        ("OPENAI_BASE_URL", model.as_str()),
        ("OPENAI_API_KEY", "sk-test-0123456789abcdef"),
        // No sandbox is set up, which would need a temporary directory.
        ("TMPDIR", "/nowhere"),
    ];
    orchestrator(&arguments, &environment, product.directory.path())
}

fn database_is_up(product: &Product) -> bool {
    product.data_dir().join("postgres/postmaster.pid").exists()
}

/// The registered processes and the states of runs, once everything is stopped.
async fn recorded(product: &Product) -> (Vec<(i64, i64)>, Vec<(String, i64)>) {
    let directory = product.data_dir();
    let running = store::embedded::start(&directory, &store::embedded::Settings::default()).unwrap();
    let database = database_of(&directory).await;
    let lives = sqlx::query_as("select id, epoch from process order by id")
        .fetch_all(&database)
        .await
        .unwrap();
    let runs =
        sqlx::query_as("select state, (select count(*) from event where event.run = run.id) from run order by id")
            .fetch_all(&database)
            .await
            .unwrap();
    database.close().await;
    running.stop().unwrap();
    (lives, runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_data_directory_is_read_and_run_cancelled_without_model_call() {
    let mut product = Product::start(endless()).await;
    let (first, second) = two_unfinished(&product).await;
    assert_eq!(product.stop().await, Some(0));
    let asked = product.journal().len();
    let before = recorded(&product).await;

    for arguments in [
        &["runs"][..],
        &["show", &first.to_string()],
        &["logs", &first.to_string()],
        &["logs", &first.to_string(), "--follow"],
        &["merges", "--all"],
        &["clean", "--dry-run"],
        &["clean", "--dry-run", "--older-than", "0"],
    ] {
        let output = command(&product, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(!database_is_up(&product), "{arguments:?} left the database running");
    }
    for arguments in [
        &["show", "00000000"][..],
        &["cancel", "00000000"],
        &["follow", "00000000"],
        &["deliver", "00000000"],
    ] {
        let output = command(&product, arguments);
        let words = said(&output);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("looked in: the private database"), "{words}");
    }
    assert_eq!(product.journal().len(), asked);

    let output = command(&product, &["cancel", &first.to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("cancelled"), "{}", said(&output));
    assert_eq!(product.journal().len(), asked, "a model was asked");
    assert!(!database_is_up(&product));
    assert!(!product.data_dir().join("server.json").exists());

    let after = recorded(&product).await;
    let states: Vec<&str> = after.1.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(states, ["cancelled", "running"]);
    assert_eq!(before.1[1], after.1[1], "the other run was touched");
    assert_eq!(after.0, before.0, "a process was registered");

    product.start_again().await;
    product.client.cancel(&second.to_string()).await.unwrap();
    assert_eq!(product.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_stalled_process_is_read_and_changed() {
    let product = Product::start(endless()).await;
    let (first, second) = two_unfinished(&product).await;
    let held = std::fs::read_to_string(product.data_dir().join("lock")).unwrap();
    let server: u32 = held.trim().parse().unwrap();
    signal(server, Signal::STOP);
    let shown = command(&product, &["show", &first.to_string()]);
    let cancelled = command(&product, &["cancel", &first.to_string()]);
    signal(server, Signal::CONT);
    assert!(shown.status.success(), "{}", said(&shown));
    assert!(cancelled.status.success(), "{}", said(&cancelled));
    let run = product.end(first).await;
    assert_eq!(run["state"], "cancelled");
    product.client.cancel(&second.to_string()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn database_that_outlived_its_process_is_read_and_left_running() {
    let mut product = Product::start(endless()).await;
    let (first, _) = two_unfinished(&product).await;
    product.kill().await;
    let asked = product.journal().len();
    let pid = || std::fs::read_to_string(product.data_dir().join("postgres/postmaster.pid")).unwrap();
    let before = pid();
    let shown = command(&product, &["show", &first.to_string(), "--json"]);
    assert!(shown.status.success(), "{}", said(&shown));
    assert_eq!(pid().lines().next(), before.lines().next());
    assert_eq!(product.journal().len(), asked);
}
