//! The demo's script and repository, tested without the product.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sim_llm::{Options, Scenario, Server};
use support::{post, worker};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../orchestrator/demo")
}

fn resolver() -> Value {
    json!({"model": "sim", "messages": [
        {"role": "system", "content": "# role: resolver"},
        {"role": "user", "content": "task: top-words\nfile: lib/commands.sh\nhunk: 1\n"}]})
}

async fn content(server: &Server, request: &Value) -> Value {
    let answer: Value = post(server, request).await.json().await.expect("an answer in JSON");
    let content = answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("an answer in text");
    serde_json::from_str(content).expect("structured output")
}

#[tokio::test]
async fn script_plans_seven_tasks_and_resolves_the_conflict() {
    let scenario = Scenario::load(&demo().join("scenario.toml")).unwrap();
    let server = Server::start(scenario, Options::default()).await.unwrap();
    let director = json!({"model": "sim", "messages": [
        {"role": "system", "content": "# role: director"}, {"role": "user", "content": "objective"}]});
    let plan = content(&server, &director).await;
    let tasks = plan["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 7);
    assert_eq!(tasks.iter().filter(|task| task["depends_on"] == json!([])).count(), 4);
    for task in tasks {
        let key = task["key"].as_str().unwrap();
        assert_eq!(
            post(&server, &worker(key, 1, &[])).await.status(),
            200,
            "{key} has a first turn"
        );
        assert_eq!(
            post(&server, &worker(key, 2, &[])).await.status(),
            200,
            "{key} has a second attempt"
        );
    }
    assert_eq!(content(&server, &resolver()).await["decision"], "replace");
    server.stop().await;
}

#[tokio::test]
async fn declining_script_overrides_the_base_script() {
    let scenario = Scenario::load(&demo().join("scenario.toml")).unwrap();
    let declining = Scenario::load(&demo().join("scenario-decline.toml")).unwrap();
    let server = Server::start(scenario.merge(declining), Options::default())
        .await
        .unwrap();
    assert_eq!(content(&server, &resolver()).await["decision"], "decline");
    let sent_back: Value = post(&server, &worker("top-words", 2, &[])).await.json().await.unwrap();
    let call = &sent_back["choices"][0]["message"]["tool_calls"][0]["function"];
    assert!(call["arguments"].as_str().unwrap().contains("blocked"));
    server.stop().await;
}

#[test]
fn repository_tests_pass_and_are_counted() {
    let output = Command::new("sh")
        .arg("test.sh")
        .current_dir(demo().join("repo"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\n1..5\n"), "{text}");
}
