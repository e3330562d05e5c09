//! Without data, commands that read or make one change create nothing and report where they looked.

use crate::{said, tree};
use e2e::{Product, database_of, directory, orchestrator};
use sim_llm::Scenario;
use sqlx::Executor;
use std::process::Output;

const RUN: &str = "7f3a12bc";

/// Commands that list: an empty list is not an error.
const LISTS: [&[&str]; 5] = [
    &["runs"],
    &["merges"],
    &["merges", "--all"],
    &["clean"],
    &["clean", "--dry-run", "--older-than", "0"],
];

/// Commands that name a run or a merge.
const NAMED: [&[&str]; 12] = [
    &["show", RUN],
    &["logs", RUN],
    &["logs", RUN, "--follow"],
    &["diff", RUN],
    &["follow", RUN],
    &["cancel", RUN],
    &["deliver", RUN],
    &["merges", "show", "1"],
    &["merges", "checkout", "1", "files"],
    &["merges", "resolve", "1", "--ours", "a"],
    &["merges", "return", "1", "--note", "n"],
    &["merges", "reject", "1", "--reason", "r"],
];

/// Commands that use no data directory.
const LOCAL: [&[&str]; 2] = [&["config"], &["doctor"]];

fn assert_named(output: &Output, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let words = ["there is no ", "looked in: ", "--data-dir"].iter().chain(words);
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn missing_data_directory_is_not_created() {
    let directory = directory();
    let (missing, home) = (directory.path().join("missing"), directory.path().join("home"));
    let empty = directory.path().join("empty");
    for directory in [&home, &empty] {
        std::fs::create_dir(directory).unwrap();
    }
    let before = tree(directory.path());
    for data_dir in [&missing, &empty] {
        let data_dir = data_dir.to_str().unwrap();
        let by_flag = |command: &[&str]| {
            let arguments = [command, &["--data-dir", data_dir]].concat();
            orchestrator(&arguments, &[("HOME", home.to_str().unwrap())], directory.path())
        };
        for command in LISTS {
            let output = by_flag(command);
            assert!(output.status.success(), "{command:?}: {}", said(&output));
        }
        for command in NAMED {
            assert_named(&by_flag(command), &[data_dir]);
        }
        for command in LOCAL {
            by_flag(command);
        }
        assert_eq!(tree(directory.path()), before, "something was created");
    }
}

#[test]
fn json_error_names_where_it_looked() {
    let directory = directory();
    let data_dir = directory.path().join("missing");
    let data_dir = data_dir.to_str().unwrap();
    let output = orchestrator(&["show", RUN, "--json", "--data-dir", data_dir], &[], directory.path());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        document["error"]["details"]["looked in"]
            .as_str()
            .unwrap()
            .contains(data_dir),
        "{document}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_database_stays_empty_and_its_password_is_masked() {
    let product = Product::start(Scenario::from_rules(Vec::new())).await;
    let database = database_of(&product.data_dir()).await;
    database.execute("create database empty").await.unwrap();
    let sockets = product.data_dir().join("sockets");
    let url = format!(
        "postgres:///empty?host={}&user=orchestrator&password=hunter2hunter2",
        sockets.display()
    );
    let other = directory();
    let data_dir = other.path().join("missing");
    for command in LISTS.iter().chain(&NAMED).chain(&LOCAL) {
        let arguments = [command, &["--data-dir", data_dir.to_str().unwrap()][..]].concat();
        let output = orchestrator(&arguments, &[("DATABASE_URL", &url)], other.path());
        let said = said(&output);
        assert!(!said.contains("hunter2"), "{command:?}: {said}");
        if NAMED.contains(command) {
            assert_named(&output, &["/empty"]);
        }
    }
    assert_eq!(tree(other.path()), Vec::<String>::new(), "something was created");
    let options = database.connect_options().as_ref().clone().database("empty");
    let empty = sqlx::PgPool::connect_with(options).await.unwrap();
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&empty)
        .await
        .unwrap();
    assert_eq!(tables, 0);
    empty.close().await;
}
