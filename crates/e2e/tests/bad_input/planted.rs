//! Secrets of every kind, in everything that a run receives, reads and outputs, are stored nowhere.

use crate::support::{Answer, body, get, post, with};
use e2e::{Product, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use std::path::Path;

/// The text before each secret, the secret, and the text after it. Assembled here, so that scanners don't report this file.
fn kinds() -> Vec<(String, String, &'static str)> {
    let random = "q7Rk2ZxW9mTb4LvN8sYc1HdF6gJp3UeA5oXi0BnM";
    let pair = |before: &[&str], secret: &str, after| (before.concat(), secret.to_owned(), after);
    vec![
        pair(&["ghp", "_"], &random[..36], ""),
        pair(&["AS", "IA"], "J7FKQW2ZNX4PLD3V", ""),
        pair(
            &["AWS_SECRET_ACCESS", "_KEY="],
            "q7Rk2ZxW/mTb4LvN8sYc1HdF+gJp3UeA5oXi0BnM",
            "",
        ),
        pair(&["sk", "_live_"], "Rk2ZxW9mTb4LvN8sYc1HdF6g", ""),
        pair(&["np", "m_"], "Zx9Kq2Lm7Rt4Vb8Nc3Wd6Hf1Jg5Pk0Qs2Tu4", ""),
        pair(&["h", "f_"], "QwErTyUiOpAsDfGhJkLzXcVbNmQwErTyUi", ""),
        pair(
            &["eyJ", "hbGciOiJIUzI1NiJ9."],
            "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "",
        ),
        pair(
            &["S", "G."],
            "ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr",
            "",
        ),
        pair(
            &["Account", "Key="],
            "lJzRc1YdHaAA2KCNJJ1tkYwF7mK6zq9oXb3pWv5sTnEuGh8rLiQ4jD0fMyOx",
            ";x=y",
        ),
        pair(&["DB_PASS", "WORD="], "Vx8mQ2zLk9", ""),
        pair(&["clone https:", "//"], "tok9Zx2Lm7Rt4Vb8Nc3Wd6", "@example.test/x.git"),
        pair(
            &["-----BEGIN RSA PRIVATE", " KEY-----\n"],
            BODY,
            "\n-----END RSA PRIVATE KEY-----",
        ),
    ]
}

const BODY: &str = "MIIEowIBAAKCAQEAx4UbaDzY5xjW6hc9jwN0mX33XpTDVqZ8xRk2ZxW9mTb4LvN8\nsYc1HdF6gJp3UeA5oXi0BnMq7Rk2ZxW9mTb4LvN8sYc1HdF6gJp3UeA5oXi0BnMq\nZx9Kq2Lm7Rt4Vb8Nc3Wd6Hf1Jg5Pk0Qs2Tu4Vx8mQ2zLk9Yb3Nc7Md1Fg5Hj==";

fn planted() -> String {
    let lines = kinds()
        .into_iter()
        .map(|(before, secret, after)| format!("{before}{secret}{after}\n"));
    lines.collect()
}

/// The texts that must not be found: each line of each secret.
fn needles() -> Vec<String> {
    let lines = kinds()
        .into_iter()
        .flat_map(|(_, secret, _)| secret.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.collect()
}

/// A model that repeats them wherever it can.
fn scenario() -> Scenario {
    let planted = planted();
    let mut document = plan(&[("first", &[]), ("second", &[])]);
    document["reason"] = json!(format!("because of\n{planted}"));
    for task in document["tasks"].as_array_mut().expect("tasks") {
        task["instructions"] = json!(format!("Use\n{planted}"));
    }
    let write = |task: &str| json!({"path": "settings", "content": format!("{planted}{task}\n")});
    let finish = json!({"outcome": "done", "summary": format!("I used\n{planted}"), "unknowns": [planted.clone()]});
    let work = |task: &str| {
        Rule::worker(task)
            .say(&format!("I have seen\n{planted}"))
            .call("read_file", json!({"path": "settings"}))
            .call("search", json!({"pattern": "."}))
            .call("shell", json!({"command": format!("cat settings; for i in $(seq 400); do cat settings; done; echo '{planted}'")}))
            .call("write_file", write(task))
            .call("finish", finish.clone())
    };
    let text = format!("{planted}both\n");
    let decision = json!({"decision": "replace", "text": text, "reason": planted, "dropped_lines": [
        {"line": "first", "why": planted}, {"line": "second", "why": planted}]});
    Scenario::from_rules(vec![
        Rule::director().json(&document),
        work("first"),
        work("second"),
        Rule::role("resolver").json(&decision),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_secrets_of_every_kind_are_stored_nowhere() {
    let environment = [("ORCHESTRATOR_LOG", "debug")];
    let product = Product::start_with(scenario(), &environment).await;
    let workspace = product.repository("planted", &[("settings", &format!("{}base\n", planted()))]);
    let body = with(
        body(&workspace, "scripted"),
        "/objective",
        json!(format!("Change\n{}", planted())),
    );
    let body = with(
        body,
        "/orch_config/check",
        json!("cat settings; for i in $(seq 400); do cat settings; done; ! grep -q both settings"),
    );
    let accepted = post(&product, &body).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    let ended: Value = product.end(id.parse().unwrap()).await;
    let said = ended.to_string();
    assert!(said.contains("[redacted]"), "{ended:#}");

    let mut places = vec![("the answer".to_owned(), said), ("the log".to_owned(), product.log())];
    for path in ["", "/tasks", "/merges", "/events"] {
        let path = format!("/runs/{id}{path}");
        places.push((format!("GET {path}"), get(&product, &path).await.text));
    }
    places.push(("GET /runs".to_owned(), get(&product, "/runs").await.text));
    places.push(("the metrics".to_owned(), get(&product, "/metrics").await.text));
    let page = reqwest::Client::new()
        .get(format!("{}/runs/{id}", product.address))
        .header("Accept", "text/html");
    places.push(("the page".to_owned(), Answer::to(page).await.text));
    for command in ["show", "logs"] {
        let data = product.data_dir();
        let arguments = [command, &id, "--data-dir", data.to_str().unwrap()];
        let shown = e2e::orchestrator(&arguments, &environment, product.directory.path());
        places.push((command.to_owned(), String::from_utf8_lossy(&shown.stdout).into_owned()));
    }
    places.extend(rows(&product).await);
    let outputs = files(&product.data_dir().join("outputs"));
    let large = |(_, text): &&(String, String)| text.len() > 50_000;
    assert!(
        outputs.iter().filter(large).count() >= 2,
        "no long outputs were kept: {:?}",
        outputs
            .iter()
            .map(|(place, text)| (place, text.len()))
            .collect::<Vec<_>>()
    );
    places.extend(outputs);

    let shown: Vec<String> = places.iter().flat_map(|(place, text)| found(place, text)).collect();
    assert!(
        shown.is_empty(),
        "{} places: {:#?}",
        shown.len(),
        &shown[..shown.len().min(20)]
    );
}

/// Every row of every table.
async fn rows(product: &Product) -> Vec<(String, String)> {
    let database = product.database().await;
    let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
        .fetch_all(&database)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let sql = format!("select row_to_json(t)::text from \"{table}\" t");
        let of_table: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&database)
            .await
            .unwrap();
        rows.extend(of_table.into_iter().map(|row| (table.clone(), row)));
    }
    assert!(rows.len() > 20, "{}", rows.len());
    rows
}

fn files(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            found.push((
                entry.path().display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
    found
}

/// Which secrets a text contains, with the text before them.
fn found(place: &str, text: &str) -> Vec<String> {
    let found = needles().into_iter().filter_map(|needle| {
        let at = text.find(&needle)?;
        let start = text[..at].char_indices().rev().nth(60).map_or(0, |(start, _)| start);
        Some(format!("{place} has {needle}: …{}", &text[start..at]))
    });
    found.collect()
}
