//! What the API promises: one run per idempotency key, paging, a complete description.

use crate::support::{Answer, announced, body, get, goes_on, post, says, with};
use e2e::{Product, binary, directory};
use regex::Regex;
use serde_json::{Value, json};
use sim_llm::{Fault, Rule, Scenario};
use std::{collections::BTreeSet, process::Command};

/// A model that rejects every key, so that runs end at once.
fn refusing() -> Scenario {
    Scenario::from_rules(vec![Rule::any().fault(Fault::status(401))])
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_key_makes_one_run_and_lists_are_paged() {
    let product = Product::start_with(refusing(), &[]).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let good = body(&workspace, "scripted");

    let keyed = async |key: &str, body: &Value| {
        let request = reqwest::Client::new().post(format!("{}/runs", product.address));
        Answer::to(request.header("Idempotency-Key", key).json(body)).await
    };
    let first = keyed("one", &good).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/runs/{id}"));
    assert_eq!(first.json()["state"], "planning");

    let again = keyed("one", &good).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));
    assert_eq!(again.header("location"), format!("/runs/{id}"));
    let other = with(good.clone(), "/objective", json!("Something else"));
    let problem = keyed("one", &other).await.problem(409, "idempotency-key-reused");
    assert_eq!(
        (&problem["field"], &problem["value"]),
        (&json!("Idempotency-Key"), &json!("one"))
    );
    says(problem["detail"].as_str().unwrap(), &[&id]);
    keyed("", &good).await.problem(422, "invalid-value");
    keyed(&"x".repeat(256), &good).await.problem(422, "invalid-value");

    // The same key at the same moment still makes one run.
    let racing = futures_util::future::join_all((0..8).map(|_| keyed("race", &good))).await;
    let ids: BTreeSet<String> = racing.iter().map(|answer| answer.json()["id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(racing.iter().filter(|answer| answer.status == 201).count(), 1);

    let mut made = vec![id, racing[0].json()["id"].as_str().unwrap().to_owned()];
    for _ in 0..3 {
        made.push(post(&product, &good).await.json()["id"].as_str().unwrap().to_owned());
    }
    made.reverse();
    pages(&product, &made).await;
    for id in &made {
        let run = product.end(id.parse().unwrap()).await;
        assert_eq!(
            (&run["state"], &run["reason"]["code"]),
            (&json!("failed"), &json!("model"))
        );
        says(
            run["reason"]["message"].as_str().unwrap(),
            &["openai/scripted", "401", "OPENAI_API_KEY"],
        );
    }
    let failed = get(&product, "/runs?state=failed").await.json();
    assert_eq!(failed["runs"].as_array().unwrap().len(), 5);
    let short = made[0].rsplit_once('-').unwrap().1;
    let by_short = get(&product, &format!("/runs/{}", &short[short.len() - 8..])).await;
    assert_eq!(by_short.json()["id"], made[0]);
    goes_on(&product).await;
}

async fn pages(product: &Product, made: &[String]) {
    let mut seen: Vec<String> = Vec::new();
    let mut path = "/runs?limit=2".to_owned();
    loop {
        let page = get(product, &path).await.json();
        let runs = page["runs"].as_array().unwrap();
        assert!(runs.len() <= 2);
        seen.extend(runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/runs?limit=2&before={next}");
    }
    assert_eq!(seen, made, "newest first, each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_description_is_complete() {
    let product = Product::start_with(refusing(), &[]).await;
    let health = get(&product, "/healthz").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    let ready = get(&product, "/readyz").await.json();
    assert_eq!((&ready["ready"], &ready["database"]), (&json!(true), &json!(true)));

    let document = get(&product, "/openapi.json").await;
    says(document.header("content-type"), &["application/json"]);
    let document = document.json();
    well_formed(&document);
    let described: BTreeSet<String> = operations(&document)
        .map(|(path, method, _)| format!("{method} {path}"))
        .collect();
    for route in [
        "post /runs",
        "get /runs",
        "get /runs/{id}",
        "get /runs/{id}/tasks",
        "get /runs/{id}/tasks/{key}",
        "get /runs/{id}/merges",
        "get /runs/{id}/events",
        "post /runs/{id}/cancel",
        "get /healthz",
        "get /readyz",
        "get /metrics",
        "get /openapi.json",
    ] {
        assert!(described.contains(route), "{route} is not described: {described:?}");
    }
    // Every described path is known to the router.
    for (path, method, _) in operations(&document) {
        let filled = path.replace("{id}", "not-an-id").replace("{key}", "a");
        let method = method.to_uppercase().parse().unwrap();
        let answer = crate::support::ask(&product, method, &filled).await;
        assert!(
            !answer.text.contains("unknown-path") && answer.status != 405,
            "{path}: {}",
            answer.text
        );
    }
    pages_are_self_contained(&product, &document).await;
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (path, method, operation))
    })
}

/// The rules of OpenAPI 3.1 that a generator can break.
fn well_formed(document: &Value) {
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let parameter = Regex::new(r"\{([^}]+)\}").unwrap();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(document) {
        assert!(path.starts_with('/') && ["get", "post", "put", "patch", "delete"].contains(&method.as_str()));
        let name = operation["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{method} {path} has no name"));
        assert!(names.insert(name), "{name} names two operations");
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        let given = operation["parameters"].as_array().into_iter().flatten();
        let given: BTreeSet<&str> = given
            .inspect(|one| assert!(one["in"] != "path" || one["required"] == true, "{path}: {one}"))
            .filter(|one| one["in"] == "path")
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        let wanted: BTreeSet<&str> = parameter
            .captures_iter(path)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        assert_eq!(given, wanted, "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(!responses.is_empty(), "{method} {path}");
        for (status, response) in responses {
            assert!(
                status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)),
                "{path}: {status}"
            );
            assert!(
                response["description"].is_string(),
                "{method} {path} {status} has no description"
            );
        }
    }
    references_resolve(document, document);
}

fn references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference
                    .strip_prefix('#')
                    .unwrap_or_else(|| panic!("{reference} leads outside"));
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|field| references_resolve(document, field));
        }
        Value::Array(parts) => parts.iter().for_each(|part| references_resolve(document, part)),
        _ => {}
    }
}

/// Pages load nothing from other hosts; the description names every operation.
async fn pages_are_self_contained(product: &Product, document: &Value) {
    let docs = get(product, "/docs").await;
    assert_eq!(docs.status, 200);
    says(docs.header("content-type"), &["text/html"]);
    for (path, ..) in operations(document) {
        says(&docs.text, &[path]);
    }
    let loaded = Regex::new(r#"(?i)(?:src|href|action|url)\s*[=(]\s*["']?\s*((?:https?:)?//[^"'\s)>]*)"#).unwrap();
    for path in ["/docs", "/", "/runs"] {
        let page = reqwest::Client::new()
            .get(format!("{}{path}", product.address))
            .header("Accept", "text/html");
        let page = Answer::to(page).await;
        let foreign: Vec<&str> = loaded
            .captures_iter(&page.text)
            .map(|found| found.get(1).unwrap().as_str())
            .collect();
        assert!(foreign.is_empty(), "{path} loads {foreign:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reachable_server_requires_its_token() {
    let place = directory();
    let mut command = Command::new(binary());
    command
        .args(["serve", "--json", "--listen", "0.0.0.0:0", "--data-dir"])
        .arg(place.path().join("data"));
    command
        .env_remove("DATABASE_URL")
        .env("ORCHESTRATOR_TOKEN", "a-token-of-this-test");
    let log = place.path().join("server.log");
    let (mut server, announced) = announced(command, &log).await;
    let address = announced["address"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1");
    let client = reqwest::Client::new();
    for path in ["/runs", "/readyz", "/metrics", "/docs", "/openapi.json", "/nothing"] {
        let get = || client.get(format!("{address}{path}"));
        let refused = Answer::to(get()).await;
        refused.problem(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        Answer::to(get().bearer_auth("a-token-of-this-tesT"))
            .await
            .problem(401, "unauthorized");
        Answer::to(get().basic_auth("a-token-of-this-test", None::<&str>))
            .await
            .problem(401, "unauthorized");
        let answer = Answer::to(get().bearer_auth("a-token-of-this-test")).await;
        assert_eq!(
            answer.status,
            if path == "/nothing" { 404 } else { 200 },
            "{path}: {}",
            answer.text
        );
    }
    let submit = client.post(format!("{address}/runs")).json(&json!({}));
    Answer::to(submit).await.problem(401, "unauthorized");
    assert_eq!(Answer::to(client.get(format!("{address}/healthz"))).await.status, 200);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(
        !log.contains("a-token-of-this-test") && !log.contains("panicked"),
        "{log}"
    );
    server.kill().await.unwrap();
}
