//! A key in the repository that models and checks repeat reaches no metric, log line or row.

use crate::{demo, is_at_rest, scrape, text};
use e2e::{Product, eventually, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use sqlx::PgPool;

/// The provider's key, in a form that no rule recognises.
const KEY: &str = "planted value of the key";

/// A gate that passes for one task's work, fails for both together, and prints the key.
const CHECK: &str = "if grep -q both settings; then echo \"not ok 1 - $(cat settings)\"; exit 1; fi; \
    echo \"ok 1 - $(cat settings)\"; echo 1..1";

/// A model that repeats the key wherever it can.
fn scenario() -> Scenario {
    let mut document = plan(&[("first", &[]), ("second", &[]), ("refused", &[])]);
    document["reason"] = json!(format!("because of {KEY}"));
    for task in document["tasks"].as_array_mut().expect("tasks") {
        task["title"] = json!(format!("Title with {KEY}"));
        task["instructions"] = json!(format!("Use {KEY}."));
    }
    let line = |task: &str| json!({"path": "settings", "content": format!("key = {KEY} {task}\n")});
    let finish = |outcome: &str| json!({"outcome": outcome, "summary": format!("I used {KEY}")});
    let work = |task: &str| {
        Rule::worker(task)
            .say(&format!("I have seen {KEY}."))
            .call("read_file", json!({"path": "settings"}))
            .call("shell", json!({"command": format!("cat settings; echo '{KEY}'")}))
            .call("write_file", line(task))
            .call("finish", finish("done"))
    };
    let text = format!("key = {KEY} both\n");
    let decision = json!({"decision": "replace", "text": text, "reason": format!("{KEY} stays"), "dropped_lines": [
        {"line": format!("key = {KEY} first"), "why": KEY}, {"line": format!("key = {KEY} second"), "why": KEY}]});
    Scenario::from_rules(vec![
        Rule::director().json(&document),
        work("first"),
        work("second"),
        Rule::worker("refused").call("finish", finish("impossible")),
        Rule::role("resolver").json(&decision),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_key_is_masked_wherever_it_is_stored() {
    let environment = [("OPENAI_API_KEY", KEY), ("ORCHESTRATOR_LOG", "debug")];
    let product = Product::start_with(scenario(), &environment).await;
    let repository = product.repository("repository", &[("settings", &format!("key = {KEY} base\n"))]);
    let objective = format!("Change the settings of {KEY}");
    let run = demo::submit_for(&product, &repository, &objective, CHECK).await;
    let ended: Value = product.end(run).await;
    eventually("every event is counted", || async {
        is_at_rest(&scrape(&product).await, 1.0, 3.0).then_some(())
    })
    .await;
    assert_eq!(ended["state"], "failed", "{}", product.log());

    let database = product.database().await;
    for (table, at_least) in [("resolution", 1), ("tool_call", 6), ("merge", 2), ("task", 3)] {
        assert!(
            rows(&database, table).await.len() >= at_least,
            "{table} has too few rows for a test"
        );
    }
    let mut places = vec![
        ("metrics".to_owned(), text(&product).await),
        ("log".to_owned(), product.log()),
    ];
    places.push(("the answer".to_owned(), ended.to_string()));
    let tables = "select tablename::text from pg_tables where schemaname = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&database)
        .await
        .expect("the tables");
    for table in tables {
        for row in rows(&database, &table).await {
            places.push((table.clone(), row));
        }
    }
    let shown: Vec<String> = places.iter().flat_map(|(place, text)| found(place, text)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

async fn rows(database: &PgPool, table: &str) -> Vec<String> {
    let sql = format!("select row_to_json(t)::text from \"{table}\" t");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(database)
        .await
        .expect("its rows")
}

/// The text around the key.
fn found(place: &str, text: &str) -> Vec<String> {
    let around = |(at, _): (usize, &str)| {
        let start = text[..at].char_indices().rev().nth(60).map_or(0, |(start, _)| start);
        format!("{place}: {}", &text[start..at])
    };
    text.match_indices(KEY).map(around).collect()
}
