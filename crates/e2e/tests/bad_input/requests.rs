//! Invalid requests: the problem document names the field, the value and the fix.

use crate::support::{Answer, ask, body, get, goes_on, post, says, with};
use e2e::Product;
use reqwest::{Method, header};
use serde_json::{Value, json};
use sim_llm::Scenario;
use std::path::Path;

/// One body and its expected problem.
struct Bad {
    body: Value,
    kind: &'static str,
    field: &'static str,
    says: &'static [&'static str],
}

/// Nothing is wrong with the request itself.
const UNUSABLE: &str = "unusable";

impl Bad {
    fn status(&self) -> u16 {
        if self.kind == UNUSABLE { 409 } else { 422 }
    }
}

fn bad(body: Value, kind: &'static str, field: &'static str, says: &'static [&'static str]) -> Bad {
    Bad {
        body,
        kind,
        field,
        says,
    }
}

fn bodies(workspace: &Path) -> Vec<Bad> {
    let good = || body(workspace, "scripted");
    let value = "invalid-value";
    let shape = "invalid-body";
    vec![
        bad(
            with(good(), "/objective", json!("")),
            value,
            "objective",
            &["empty", "describe the goal"],
        ),
        bad(
            with(good(), "/objective", json!(" \n\t")),
            value,
            "objective",
            &["empty"],
        ),
        bad(
            with(good(), "/objective", json!("x".repeat(65_537))),
            value,
            "objective",
            &["65537", "65536"],
        ),
        bad(with(good(), "/objective", json!("a\0b")), value, "objective", &["NUL"]),
        bad(
            with(good(), "/objective", json!(7)),
            shape,
            "objective",
            &["expected a string", "7"],
        ),
        bad(
            with(good(), "/objectve", json!("x")),
            shape,
            "objectve",
            &["did you mean `objective`?"],
        ),
        bad(
            json!({"workspace_path": workspace}),
            shape,
            "",
            &["missing field `objective`"],
        ),
        bad(json!([]), shape, "", &["NewRun"]),
        bad(
            with(good(), "/orch_config/worker", json!({})),
            shape,
            "orch_config.worker",
            &["worker_model"],
        ),
        bad(
            with(good(), "/orch_config/limits", json!({"turn": 3})),
            shape,
            "orch_config.limits.turn",
            &["turns"],
        ),
        bad(
            with(good(), "/orch_config/limits", json!({"turns": "many"})),
            shape,
            "orch_config.limits.turns",
            &["many", "u32"],
        ),
        bad(
            with(good(), "/orch_config/limits", json!({"turns": 0})),
            value,
            "orch_config.limits.turns",
            &["from 1"],
        ),
        bad(
            with(good(), "/orch_config/limits", json!({"run_s": -1})),
            shape,
            "orch_config.limits.run_s",
            &["-1"],
        ),
        bad(
            with(good(), "/orch_config/director_model/provider", json!("opnai")),
            value,
            "orch_config.director_model",
            &["opnai/scripted", "openai", "keyless"],
        ),
        bad(
            with(good(), "/orch_config/worker_model/provider", json!("keyless")),
            UNUSABLE,
            "orch_config.worker_model",
            &["keyless", "no API key", "KEY_THAT_NOBODY_SET"],
        ),
        bad(
            with(good(), "/orch_config/worker_model/model_name", json!(" ")),
            value,
            "orch_config.worker_model",
            &["1 to 255 characters"],
        ),
        bad(
            json!({"objective": "x", "workspace_path": workspace}),
            UNUSABLE,
            "orch_config.director_model",
            &["no model is named", "orch_config.director_model"],
        ),
        bad(
            with(good(), "/orch_config/check", json!("")),
            value,
            "orch_config.check",
            &["check command"],
        ),
        bad(
            with(good(), "/orch_config/max_cost_dollars", json!(-1)),
            value,
            "orch_config.max_cost_dollars",
            &["-1"],
        ),
        bad(
            with(body(workspace, "home-made"), "/orch_config/max_cost_dollars", json!(1)),
            UNUSABLE,
            "orch_config.director_model",
            &["home-made", "price"],
        ),
        bad(
            with(good(), "/workspace_path", json!("")),
            value,
            "workspace_path",
            &["absolute"],
        ),
        bad(
            with(good(), "/workspace_path", json!("some/where")),
            value,
            "workspace_path",
            &["absolute", "some/where"],
        ),
        bad(
            with(good(), "/workspace_path", json!("/a\0b")),
            value,
            "workspace_path",
            &["can't be used"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_request_names_field_value_and_fix() {
    let place = e2e::directory();
    let configuration = place.path().join("orchestrator.toml");
    let keyless =
        "[providers.keyless]\nbase_url = \"https://models.example/v1\"\napi_key_env = \"KEY_THAT_NOBODY_SET\"\n";
    std::fs::write(&configuration, keyless).unwrap();
    let configuration = configuration.to_str().unwrap();
    let product = Product::start_with(Scenario::from_rules(vec![]), &[("ORCHESTRATOR_CONFIG", configuration)]).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    for bad in bodies(&workspace) {
        let problem = post(&product, &bad.body).await.problem(bad.status(), bad.kind);
        println!("{problem:#}");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), bad.field, "{problem:#}");
        assert!(problem["hint"].is_string(), "no way out: {problem:#}");
        says(&problem.to_string(), bad.says);
        assert!(
            problem.to_string().len() < 4_000,
            "the whole value is repeated: {problem:#}"
        );
    }
    broken_bodies(&product).await;
    foreign_callers(&product).await;
    wrong_paths(&product).await;
    assert_eq!(
        get(&product, "/runs").await.json()["runs"],
        json!([]),
        "a refused request made a run"
    );
    assert!(product.journal().is_empty(), "a refused request asked a model");
    goes_on(&product).await;
}

async fn broken_bodies(product: &Product) {
    let url = format!("{}/runs", product.address);
    let client = reqwest::Client::new();
    let json = |text: String| {
        client
            .post(&url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(text)
    };

    let problem = Answer::to(json("{\"objective\": \"x\",\n  \"workspace_path\" \"/w\"}".into())).await;
    let problem = problem.problem(400, "not-json");
    says(problem["detail"].as_str().unwrap(), &["line 2 column"]);
    Answer::to(json(String::new())).await.problem(400, "not-json");
    Answer::to(json("{\"objective\": \"\u{1F600}".into()))
        .await
        .problem(400, "not-json");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    Answer::to(json(deep)).await.problem(400, "not-json");

    let text = client
        .post(&url)
        .body("objective=x")
        .header(header::CONTENT_TYPE, "text/plain");
    let problem = Answer::to(text).await.problem(415, "not-json");
    assert_eq!(
        (&problem["field"], &problem["value"]),
        (&json!("Content-Type"), &json!("text/plain"))
    );
    Answer::to(client.post(&url)).await.problem(415, "not-json");

    let large = format!("{{\"objective\": \"{}\"}}", "x".repeat(2 << 20));
    let problem = Answer::to(json(large.clone())).await.problem(413, "too-large");
    says(problem["detail"].as_str().unwrap(), &["1048576"]);
    // The same without a Content-Length.
    let pieces = large
        .into_bytes()
        .chunks(64 << 10)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = client
        .post(&url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(streamed);
    Answer::to(request).await.problem(413, "too-large");
}

async fn foreign_callers(product: &Product) {
    let client = reqwest::Client::new();
    let port = product.address.rsplit(':').next().unwrap();
    for path in ["/runs", "/healthz", "/metrics", "/docs", "/openapi.json", "/nothing"] {
        let url = format!("{}{path}", product.address);
        for host in [
            "evil.example".to_owned(),
            format!("evil.example:{port}"),
            format!("127.0.0.1.evil.example:{port}"),
        ] {
            let problem = Answer::to(client.get(&url).header(header::HOST, &host))
                .await
                .problem(403, "foreign-host");
            assert_eq!(problem["value"], host);
        }
        for origin in ["http://evil.example", "null", &format!("http://localhost:{}", 1)] {
            let request = client.get(&url).header(header::ORIGIN, origin);
            let problem = Answer::to(request).await.problem(403, "foreign-origin");
            assert_eq!(problem["value"], origin);
        }
        let own = client.get(&url).header(header::ORIGIN, &product.address);
        assert_ne!(Answer::to(own).await.status, 403, "{path}");
    }
    let post = client
        .post(format!("{}/runs", product.address))
        .header(header::ORIGIN, "http://evil.example");
    Answer::to(post.json(&json!({}))).await.problem(403, "foreign-origin");
}

async fn wrong_paths(product: &Product) {
    let unknown = "0193b3c4-0000-7000-8000-000000000000";
    for path in ["", "/tasks", "/tasks/a", "/merges", "/events"] {
        let problem = get(product, &format!("/runs/{unknown}{path}"))
            .await
            .problem(404, "unknown-run");
        assert_eq!(problem["value"], unknown);
    }
    ask(product, Method::POST, &format!("/runs/{unknown}/cancel"))
        .await
        .problem(404, "unknown-run");
    get(product, "/runs/not-an-id").await.problem(400, "invalid-run-id");
    get(product, "/runs/%ff%fe").await.problem(400, "refused");
    let problem = get(product, "/no/such/path").await.problem(404, "unknown-path");
    assert_eq!(problem["value"], "/no/such/path");
    for (method, path) in [
        (Method::DELETE, "/runs"),
        (Method::POST, "/healthz"),
        (Method::PUT, "/runs/x/cancel"),
    ] {
        let answer = ask(product, method.clone(), path).await;
        let problem = answer.problem(405, "wrong-method");
        assert_eq!(problem["value"], method.as_str());
        assert!(!answer.header("allow").is_empty());
    }
    for query in ["state=ready", "limit=many", "colour=red", "limit=-1"] {
        let problem = get(product, &format!("/runs?{query}"))
            .await
            .problem(400, "invalid-value");
        says(&problem.to_string(), &[query.split('=').next().unwrap()]);
    }
    let client = reqwest::Client::new();
    let events = client
        .get(format!("{}/runs/{unknown}/events", product.address))
        .header("Last-Event-ID", "soon");
    let problem = Answer::to(events).await.problem(400, "invalid-event-id");
    assert_eq!(problem["value"], "soon");
}
