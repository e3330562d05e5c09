//! The journal is complete, served over HTTP and continued after a restart; invalid requests are rejected.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sim_llm::{Entry, Fault, Options, Rule, Scenario, Server, Status, ViolationKind};
use support::{client, post, server, worker};

#[tokio::test]
async fn journal_is_served_over_http() {
    let server = server(vec![Rule::any().say("hello")]).await;
    let request = worker("a", 1, &[]);
    post(&server, &request).await;
    let root = server.base_url().replace("/v1", "");
    let get = async |path: &str| client().get(format!("{root}{path}")).send().await.unwrap();
    let entries: Vec<Entry> = get("/journal").await.json().await.unwrap();
    assert_eq!(entries, server.journal());
    assert_eq!(get("/journal/1").await.json::<Value>().await.unwrap(), request);
    assert_eq!(get("/journal/2").await.status(), 404);
    assert_eq!(server.request(1), Some(request));
    server.stop().await;
}

#[tokio::test]
async fn restart_continues_the_journal_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let options = Options {
        journal: Some(path.clone()),
        ..Options::default()
    };
    let scenario = || {
        Scenario::from_rules(vec![
            Rule::worker("a")
                .named("once")
                .times(1)
                .fault(Fault::too_many_requests("1")),
            Rule::worker("a").named("then").say("x"),
        ])
    };
    let first = Server::start(scenario(), options.clone()).await.unwrap();
    assert_eq!(post(&first, &worker("a", 1, &[])).await.status(), 429);
    let before = first.journal();
    first.stop().await;
    // A crash in the middle of a write leaves half a line.
    std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"seq\":2,\"at_")
        .unwrap();

    let second = Server::start(scenario(), options).await.unwrap();
    assert_eq!(second.journal(), before);
    assert_eq!(
        post(&second, &worker("a", 1, &[])).await.status(),
        200,
        "the 429 was used up before the restart"
    );
    assert_eq!(
        second.journal().iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        [1, 2]
    );
    second.stop().await;

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["status"], "429");
    assert_eq!(lines[1]["request"]["model"], "sim");
}

#[tokio::test]
async fn unusable_journal_file_is_named() {
    let options = Options {
        journal: Some("/no/such/directory/journal".into()),
        ..Options::default()
    };
    let error = Server::start(Scenario::default(), options)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("/no/such/directory/journal"), "{error}");
    let held = server(vec![]).await;
    let listen = held
        .base_url()
        .trim_start_matches("http://")
        .trim_end_matches("/v1")
        .parse()
        .unwrap();
    let error = Server::start(
        Scenario::default(),
        Options {
            listen,
            ..Options::default()
        },
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("choose another address"), "{error}");
    held.stop().await;
}

#[tokio::test]
async fn invalid_request_is_rejected_and_recorded() {
    let server = server(vec![Rule::any().say("never said")]).await;
    let dangling = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": "{}"}}]});
    let response = post(&server, &worker("a", 1, &[dangling])).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("\"call_1\" has no tool message"),
        "{body}"
    );

    let url = format!("{}/chat/completions", server.base_url());
    assert_eq!(client().post(url).body("not json").send().await.unwrap().status(), 400);
    let journal = server.journal();
    assert_eq!(journal[0].violations[0].kind, ViolationKind::UnansweredCall);
    assert_eq!(journal[1].violations[0].kind, ViolationKind::NotJson);
    assert_eq!(
        (journal[1].status, journal[1].role.as_str()),
        (Status::Http(400), "unknown")
    );
    server.stop().await;
}

#[tokio::test]
async fn loose_schema_is_rejected_if_declared_strict() {
    let server = server(vec![Rule::any().json(&json!({}))]).await;
    let request = |strict: bool| {
        json!({"model": "sim", "messages": [{"role": "system", "content": "# role: director"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "strict": strict,
                "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}})
    };
    assert_eq!(post(&server, &request(true)).await.status(), 400);
    assert_eq!(post(&server, &request(false)).await.status(), 200);
    let kinds: Vec<_> = server.journal()[0]
        .violations
        .iter()
        .map(|violation| violation.kind)
        .collect();
    assert_eq!(kinds, [ViolationKind::LooseSchema; 2]);
    server.stop().await;
}

#[tokio::test]
async fn binary_serves_a_scenario_and_stops_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = directory.path().join("scenario.toml");
    std::fs::write(directory.path().join("plan.json"), "{\"tasks\": []}").unwrap();
    std::fs::write(
        &scenario,
        "[[rule]]\nmatch = { role = \"worker\" }\nfile = \"plan.json\"\n",
    )
    .unwrap();
    let journal = directory.path().join("journal.jsonl");
    let mut process = Command::new(env!("CARGO_BIN_EXE_sim-llm"))
        .arg("--scenario")
        .arg(&scenario)
        .arg("--journal")
        .arg(&journal)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let url = format!("{}/chat/completions", address.trim());
    let answer: Value = client()
        .post(url)
        .json(&worker("a", 1, &[]))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "{\"tasks\": []}");
    assert_eq!(std::fs::read_to_string(&journal).unwrap().lines().count(), 1);
    let asked = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(asked.success());
    assert!(process.wait().unwrap().success());

    std::fs::write(&scenario, "[[rule]]\nsya = 1\n").unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_sim-llm"))
        .arg("--scenario")
        .arg(&scenario)
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unknown field `sya`"));
}
