//! A key that a provider repeats in its errors, or a model in its answers, is stored nowhere.

use crate::support::{Answer, body, get, goes_on, post, says, with};
use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use e2e::Product;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sim_llm::Scenario;
use std::path::Path;

const KEY: &str = "correct-horse-battery-staple-0123456789";
const PASSWORD: &str = "a-header-that-nobody-may-see";

/// A provider that answers with the request's content, in a form that depends on the model's name.
async fn echo() -> String {
    let answer = async |headers: HeaderMap, request: Request| -> Response {
        let bytes = axum::body::to_bytes(request.into_body(), 1 << 24).await.unwrap();
        let asked: Value = serde_json::from_slice(&bytes).unwrap();
        let said = format!(
            "you sent {headers:?}, key {}",
            headers["authorization"].to_str().unwrap()
        );
        let error = |status: StatusCode, body: Value| (status, [("retry-after", "0")], Json(body)).into_response();
        let message = json!({"error": {"message": said, "type": said, "code": said}});
        match asked["model"].as_str().unwrap() {
            "echo-400" => error(StatusCode::BAD_REQUEST, message),
            "echo-401" => error(StatusCode::UNAUTHORIZED, message),
            "echo-429" => error(StatusCode::TOO_MANY_REQUESTS, message),
            "echo-500" => (StatusCode::INTERNAL_SERVER_ERROR, [("retry-after", "0")], said).into_response(),
            "echo-stream" => ([("content-type", "text/event-stream")], format!("data: {message}\n\n")).into_response(),
            "echo-text" => {
                let delta = json!({"choices": [{"index": 0, "delta": {"content": said}, "finish_reason": "stop"}]});
                let stream = format!("data: {delta}\n\ndata: [DONE]\n\n");
                ([("content-type", "text/event-stream")], stream).into_response()
            }
            _ => said.into_response(),
        }
    };
    let app = Router::new().fallback(answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/v1")
}

#[tokio::test(flavor = "multi_thread")]
async fn key_repeated_by_a_provider_is_stored_nowhere() {
    let place = e2e::directory();
    let configuration = place.path().join("orchestrator.toml");
    let provider = format!(
        "[providers.echo]\nbase_url = \"{}\"\nextra_headers = {{ \"x-password\" = \"{PASSWORD}\" }}\n\
         [telemetry]\nlog = \"trace,h2=info,hyper=info\"\n",
        echo().await
    );
    std::fs::write(&configuration, provider).unwrap();
    let environment = [
        ("ORCHESTRATOR_CONFIG", configuration.to_str().unwrap()),
        ("ECHO_API_KEY", KEY),
    ];
    let product = Product::start_with(Scenario::from_rules(vec![]), &environment).await;

    let models = [
        "echo-400",
        "echo-401",
        "echo-429",
        "echo-500",
        "echo-stream",
        "echo-text",
        "echo-garbage",
    ];
    let runs = join_all(models.map(async |model| {
        let workspace = product.repository(model, &[("a", "1\n")]);
        let chosen = json!({"provider": "echo", "model_name": model});
        let body = with(body(&workspace, model), "/orch_config/director_model", chosen.clone());
        let body = with(body, "/orch_config/worker_model", chosen);
        let accepted = post(&product, &body).await;
        assert_eq!(accepted.status, 201, "{}", accepted.text);
        product
            .end(accepted.json()["id"].as_str().unwrap().parse().unwrap())
            .await
    }))
    .await;
    for (model, run) in models.iter().zip(&runs) {
        assert_eq!(run["state"], "failed", "{run:#}");
        println!("{model}: {}", run["reason"]["message"]);
        says(run["reason"]["message"].as_str().unwrap(), &[&format!("echo/{model}")]);
        let id = run["id"].as_str().unwrap();
        for path in ["", "/tasks", "/merges", "/events"] {
            hidden(
                &format!("GET {path}"),
                &get(&product, &format!("/runs/{id}{path}")).await.text,
            );
        }
        let page = reqwest::Client::new()
            .get(format!("{}/runs/{id}", product.address))
            .header("Accept", "text/html");
        hidden("the page", &Answer::to(page).await.text);
    }
    hidden("GET /runs", &get(&product, "/runs").await.text);
    hidden("the metrics", &get(&product, "/metrics").await.text);
    let arguments = [
        "config",
        "--data-dir",
        product.directory.path().join("data").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let shown = e2e::orchestrator(&arguments, &environment, product.directory.path());
    hidden("orchestrator config", &String::from_utf8_lossy(&shown.stdout));
    database(&product).await;
    let log = product.log();
    assert!(log.len() > 10_000, "nothing was logged that could have held a key");
    hidden("the log", &log);
    files(&product.data_dir());
    goes_on(&product).await;
}

fn hidden(place: &str, text: &str) {
    for secret in [KEY, PASSWORD] {
        if let Some(at) = text.find(secret) {
            let start = text[..at].char_indices().rev().nth(300).map_or(0, |(start, _)| start);
            panic!("{place} shows {secret}: …{}", &text[start..at + secret.len()]);
        }
    }
}

/// Every row of every table.
async fn database(product: &Product) {
    let database = product.database().await;
    let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
        .fetch_all(&database)
        .await
        .unwrap();
    assert!(tables.len() > 5, "{tables:?}");
    for table in tables {
        let rows = format!("select row_to_json(t)::text from \"{table}\" t");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
            .fetch_all(&database)
            .await
            .unwrap();
        hidden(&table, &rows.join("\n"));
    }
}

/// Every file of the data directory, including the database's files.
fn files(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path());
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            hidden(&entry.path().display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
}
