//! The limit of unfinished runs.

use e2e::{Product, eventually, orchestrator};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_limit_are_rejected_until_some_end() {
    let place = e2e::directory();
    let file = place.path().join("orchestrator.toml");
    std::fs::write(&file, "[limits]\nopen_runs = 2\n").unwrap();
    // A model that takes longer than the test.
    let scenario = Scenario::from_rules(vec![Rule::any().latency_ms(600_000).say("at last")]);
    let product = Product::start_with(scenario, &[("ORCHESTRATOR_CONFIG", file.to_str().unwrap())]).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let model = json!({"provider": "openai", "model_name": "scripted"});
    let body = json!({"objective": "Do it", "workspace_path": workspace,
        "orch_config": {"director_model": model, "worker_model": model}});
    let client = reqwest::Client::new();
    let submit = async |key: Option<String>| {
        let mut request = client.post(format!("{}/runs", product.address)).json(&body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request.send().await.unwrap()
    };
    // All at once: count and insert are atomic.
    let answers = futures_util::future::join_all((0..12).map(|number| submit(Some(number.to_string())))).await;
    let created = answers.iter().filter(|answer| answer.status() == StatusCode::CREATED);
    assert_eq!(created.count(), 2);
    let accepted = answers
        .iter()
        .position(|answer| answer.status() == StatusCode::CREATED)
        .unwrap();

    let refused = submit(None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:agent-orchestrator:problem:too-many-runs");
    assert_eq!(problem["detail"], "2 runs are unfinished, and at most 2 may be");
    assert!(
        problem["hint"].as_str().unwrap().contains("limits.open_runs"),
        "{problem}"
    );
    // A repeat is not a new run.
    assert_eq!(submit(Some(accepted.to_string())).await.status(), StatusCode::OK);

    let data_dir = product.data_dir().display().to_string();
    let output = orchestrator(
        &[
            "--data-dir",
            &data_dir,
            "run",
            "Do it",
            "--detach",
            "--workspace",
            workspace.to_str().unwrap(),
            "--director-model",
            "openai/scripted",
            "--worker-model",
            "openai/scripted",
        ],
        &[],
        product.directory.path(),
    );
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("2 runs are unfinished") && text.contains("limits.open_runs"),
        "{text}"
    );

    let runs = product.client.runs(None, None, 10).await.unwrap().runs;
    assert_eq!(runs.len(), 2);
    product.client.cancel(&runs[0].id.to_string()).await.unwrap();
    eventually("a place is free", || async {
        (submit(None).await.status() == StatusCode::CREATED).then_some(())
    })
    .await;
}
