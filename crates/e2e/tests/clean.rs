//! `orchestrator clean`, through a running server and without one.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

use domain::RunId;
use e2e::{Product, eventually, orchestrator, plan, signal};
use rustix::process::Signal;
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Every file of a data directory but the database's and its lock, with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            let is_database = ["postgres", "sockets", "lock"]
                .iter()
                .any(|name| entry.file_name() == *name);
            match entry.file_type().unwrap() {
                _ if is_database => {}
                kind if kind.is_dir() => open.push(path),
                kind if kind.is_file() => drop(found.insert(path.clone(), std::fs::read(path).unwrap())),
                _ => {}
            }
        }
    }
    found
}

/// The output of the command, and the runs it names.
fn clean(product: &Product, flags: &[&str]) -> (Value, Vec<String>) {
    let data_dir = product.data_dir();
    let arguments = ["clean", "--json", "--data-dir", data_dir.to_str().unwrap()];
    let output = orchestrator(&[&arguments[..], flags].concat(), &[], product.directory.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let cleaned: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runs = cleaned["runs"].as_array().unwrap().iter();
    let runs = runs.map(|line| line["run"].as_str().unwrap().to_owned()).collect();
    (cleaned, runs)
}

async fn state(product: &Product, run: RunId) -> Value {
    let found = reqwest::get(format!("{}/runs/{run}", product.address)).await.unwrap();
    found.json().await.unwrap()
}

async fn is_at_work(product: &Product, run: RunId) {
    eventually("the task is at work", || async {
        let run = state(product, run).await;
        (run["tasks"]["active"] == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_finished_runs_is_deleted_and_unfinished_runs_stay() {
    let mut product = Product::start(Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[])])),
        Rule::worker("long").call("shell", json!({"command": "sleep 300"})),
    ]))
    .await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let ended = product.submit(&workspace, None).await;
    is_at_work(&product, ended).await;
    product.client.cancel(&ended.to_string()).await.unwrap();
    product.end(ended).await;
    let unfinished = product.submit(&workspace, None).await;
    is_at_work(&product, unfinished).await;

    let (cleaned, runs) = clean(&product, &["--older-than", "0", "--dry-run"]);
    assert_eq!((&cleaned["dry_run"], runs), (&json!(true), vec![ended.to_string()]));
    assert_eq!(state(&product, ended).await["expired_at"], Value::Null);
    assert_eq!(clean(&product, &[]).1, Vec::<String>::new(), "it is not old enough");

    assert_eq!(product.stop().await, Some(0));
    let asked = product.journal().len();
    let (_, runs) = clean(&product, &["--older-than", "0"]);
    assert_eq!(runs, [ended.to_string()]);
    assert_eq!(clean(&product, &["--older-than", "0"]).1, Vec::<String>::new());
    assert_eq!(product.journal().len(), asked, "nothing was gone on with");

    product.start_again().await;
    let kept = state(&product, unfinished).await;
    assert_eq!((&kept["state"], &kept["expired_at"]), (&json!("running"), &Value::Null));
    assert_ne!(state(&product, ended).await["expired_at"], Value::Null);
    let (run, data_dir) = (ended.to_string(), product.data_dir());
    let arguments = ["diff", &run, "--data-dir", data_dir.to_str().unwrap()];
    let output = orchestrator(&arguments, &[], product.directory.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["deleted on", "retention.days"] {
        assert!(said.contains(words), "{said}");
    }
    product.client.cancel(&unfinished.to_string()).await.unwrap();
    assert_eq!(product.stop().await, Some(0));
}

/// A process that does not answer still holds the data directory: the database is read beside it.
#[tokio::test(flavor = "multi_thread")]
async fn dry_run_changes_nothing_with_a_server_without_one_and_beside_a_stalled_one() {
    let mut product = Product::start(Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[])])),
        Rule::worker("long").call("shell", json!({"command": "echo made > file; sleep 300"})),
    ]))
    .await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = product.submit(&workspace, None).await;
    is_at_work(&product, run).await;
    product.client.cancel(&run.to_string()).await.unwrap();
    product.end(run).await;
    let dry_run = ["--older-than", "0", "--dry-run"];
    let expected = [run.to_string()];

    let served = clean(&product, &dry_run);
    assert_eq!(served.1, expected);
    let held = std::fs::read_to_string(product.data_dir().join("lock")).unwrap();
    let server: u32 = held.trim().parse().unwrap();
    signal(server, Signal::STOP);
    let stalled = clean(&product, &dry_run);
    signal(server, Signal::CONT);
    assert_eq!(stalled.1, expected);

    assert_eq!(product.stop().await, Some(0));
    let before = files(&product.data_dir());
    let alone = clean(&product, &dry_run);
    assert_eq!(alone.1, expected);
    assert_eq!(files(&product.data_dir()), before, "a file was changed");
    product.start_again().await;
    assert_eq!(state(&product, run).await["expired_at"], Value::Null);
    assert_eq!(product.stop().await, Some(0));
}
