//! Facts about the HTTP interface.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod flags;
mod harness;
mod pages;
mod raw;
mod waiting;

use domain::{RunId, event::Event, run::RunState};
use harness::{Harness, answer};
use reqwest::Method;
use serde_json::{Value, json};
use server::{Settings, Token};
use sim_llm::Scenario;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn run_is_submitted_followed_and_shown() {
    let harness = Harness::open(Scenario::trivial(2, 2)).await;
    let accepted = harness.client.submit(&harness.new_run(), None).await.unwrap();
    let mut events = harness.client.events(accepted.id, 0);
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.unwrap());
    }
    let numbers: Vec<i64> = seen.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    assert!(
        seen.iter()
            .all(|event| event.known().is_some_and(|known| known.kind() == event.kind))
    );
    assert!(matches!(seen[0].known(), Some(Event::RunSubmitted { .. })));
    assert!(
        seen.iter().any(|event| event.kind == "run_completed"),
        "{:?}",
        seen.last()
    );

    let run = harness.client.run(&accepted.short).await.unwrap();
    assert_eq!(
        (run.state, run.tasks.complete, run.merges_landed),
        (RunState::Complete, 2, 2)
    );
    assert!(run.cost.calls > 0 && run.delivered_commit.is_some());
    let tasks = harness.client.tasks(&accepted.short).await.unwrap().tasks;
    assert!(tasks.iter().all(|task| task.landed_commit.is_some()));
    let detail = harness.client.task(&accepted.short, &tasks[0].key).await.unwrap();
    assert!(!detail.attempts[0].turns[0].tool_calls.is_empty());
    let merges = harness.client.merges(&accepted.short).await.unwrap().merges;
    assert_eq!(merges.len(), 2);
    let listed = harness.client.runs(Some(RunState::Complete), None, 10).await.unwrap();
    assert_eq!(listed.runs[0].id, accepted.id);

    let page = answer(
        harness
            .ask(Method::GET, &format!("/runs/{}", accepted.short))
            .header("Accept", "text/html"),
    )
    .await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    for part in [tasks[0].key.as_str(), "complete", &run.branch, "git -C"] {
        assert!(page.text.contains(part), "{part}");
    }
    assert!(!page.text.contains("<script"), "what has ended is not followed");
    assert!(harness.get("/").await.text.contains(&accepted.short));
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_resumes_after_last_event_and_ends() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let accepted = harness.client.submit(&harness.new_run(), None).await.unwrap();
    let path = format!("/runs/{}/events", accepted.id);
    let whole = harness.get(&path).await;
    assert_eq!(whole.header("content-type"), "text/event-stream");
    assert!(
        whole.text.trim_end().ends_with("event: end\ndata: {}"),
        "{}",
        whole.text
    );
    let last = harness.client.run(&accepted.short).await.unwrap().last_event;

    let resumed = answer(
        harness
            .ask(Method::GET, &path)
            .header("Last-Event-ID", (last - 2).to_string()),
    )
    .await;
    let ids: Vec<&str> = resumed
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    assert_eq!(ids, [(last - 1).to_string(), last.to_string()]);
    assert_eq!(harness.get(&format!("{path}?after={last}")).await.status, 204);
    assert_eq!(
        harness
            .client
            .events(accepted.id, last)
            .next()
            .await
            .map(|event| event.is_ok()),
        None
    );

    let (status, kind, field, value) = harness.get(&format!("{path}?after=x")).await.problem();
    assert_eq!((status, kind.as_str()), (400, "invalid-event-id"));
    assert_eq!((field.as_deref(), value), (Some("after"), Some(json!("x"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_key_returns_first_run_and_refuses_other_request() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let body = serde_json::to_string(&harness.new_run()).unwrap();
    let send = async |body: &str| {
        let request = harness
            .ask(Method::POST, "/runs")
            .header("Content-Type", "application/json");
        answer(request.header("Idempotency-Key", "k1").body(body.to_owned())).await
    };
    let first = send(&body).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/runs/{id}"));
    let second = send(&body).await;
    assert_eq!((second.status, second.json()["id"].as_str()), (200, Some(id.as_str())));

    let other = body.replace("Do what", "Do not what");
    let (status, kind, field, _) = send(&other).await.problem();
    assert_eq!(
        (status, kind.as_str(), field.as_deref()),
        (409, "idempotency-key-reused", Some("Idempotency-Key"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_twice_is_accepted() {
    let harness = Harness::open(Scenario::from_rules(Vec::new())).await;
    let accepted = harness.client.submit(&harness.new_run(), None).await.unwrap();
    let cancelled = harness.client.cancel(&accepted.short).await;
    // The run may have failed by then: nothing is scripted. Either way it has ended, and says how.
    match cancelled {
        Ok(answer) => {
            assert_eq!(answer.state, RunState::Cancelled);
            assert_eq!(
                harness.client.cancel(&accepted.short).await.unwrap().state,
                RunState::Cancelled
            );
        }
        Err(error) => assert_eq!(error.problem().unwrap().name(), "not-cancellable"),
    }
    let unknown = harness.client.cancel(&RunId::new().to_string()).await.unwrap_err();
    assert_eq!(unknown.problem().unwrap().name(), "unknown-run");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_names_value_and_hint() {
    let harness = Harness::open_with(
        Scenario::trivial(1, 1),
        Settings {
            body_bytes: 4_096,
            ..Settings::default()
        },
    )
    .await;
    let good = serde_json::to_value(harness.new_run()).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
        body.to_string()
    };
    let cases = [
        ("{".to_owned(), 400, "not-json", None),
        ("[]".to_owned(), 422, "invalid-body", None),
        (with("/objectif", json!("x")), 422, "invalid-body", Some("objectif")),
        (
            with("/orch_config/limits", json!({"turns": -1})),
            422,
            "invalid-body",
            Some("orch_config.limits.turns"),
        ),
        (
            with("/orch_config/max_cost_dollars", json!(-1.0)),
            422,
            "invalid-value",
            Some("orch_config.max_cost_dollars"),
        ),
        (with("/objective", json!("  ")), 422, "invalid-value", Some("objective")),
        (with("/objective", json!("x".repeat(5_000))), 413, "too-large", None),
        (
            with("/workspace_path", json!("relative/path")),
            422,
            "invalid-value",
            Some("workspace_path"),
        ),
        (
            with(
                "/orch_config/worker_model",
                json!({"provider": "nobody", "model_name": "m"}),
            ),
            422,
            "invalid-value",
            Some("orch_config.worker_model"),
        ),
    ];
    for (body, status, kind, field) in cases {
        let found = harness.post("/runs", body.clone()).await.problem();
        assert_eq!(
            (found.0, found.1.as_str(), found.2.as_deref()),
            (status, kind, field),
            "{body}"
        );
    }
    let plain = answer(harness.ask(Method::POST, "/runs").body("{}")).await.problem();
    assert_eq!((plain.0, plain.2.as_deref()), (415, Some("Content-Type")));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_methods_and_runs_are_problems() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    assert_eq!(harness.get("/nothing").await.problem().0, 404);
    let wrong = answer(harness.ask(Method::DELETE, "/runs")).await;
    assert!(wrong.header("allow").contains("POST"), "{:?}", wrong.headers);
    assert_eq!(wrong.problem().1, "wrong-method");
    assert_eq!(harness.get("/runs/ffffffff").await.problem().1, "unknown-run");
    assert_eq!(harness.get("/runs/%ff").await.problem().0, 400);
    assert_eq!(harness.get("/runs/zzz").await.problem().1, "invalid-run-id");
    assert_eq!(
        harness.get("/runs?state=asleep").await.problem().3,
        Some(json!("asleep"))
    );
    assert_eq!(harness.get("/runs?stat=x").await.problem().0, 400);
    let id = harness.client.submit(&harness.new_run(), None).await.unwrap().short;
    assert_eq!(
        harness.get(&format!("/runs/{id}/tasks/nobody")).await.problem().1,
        "unknown-task"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_origins_and_missing_tokens_are_refused() {
    let settings = Settings {
        token: Some(Token::new("secret")),
        ..Settings::default()
    };
    let harness = Harness::open_with(Scenario::trivial(1, 1), settings).await;
    let foreign = answer(harness.ask(Method::GET, "/healthz").header("Host", "evil.example")).await;
    assert_eq!(foreign.problem().1, "foreign-host");
    let foreign = answer(
        harness
            .ask(Method::GET, "/healthz")
            .header("Origin", "http://evil.example"),
    )
    .await;
    assert_eq!(foreign.problem().1, "foreign-origin");
    assert_eq!(harness.get("/healthz").await.status, 200);
    let bare = harness.get("/metrics").await;
    assert_eq!(bare.header("www-authenticate"), "Bearer");
    assert_eq!(bare.problem().1, "unauthorized");
    let client = api::Client::new(&harness.address, Some("secret")).unwrap();
    assert!(client.runs(None, None, 1).await.unwrap().runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_reports_database_and_disk() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    assert_eq!(harness.client.health().await.unwrap().status, "ok");
    let readiness = harness.client.readiness().await.unwrap();
    assert!(readiness.ready && readiness.database && !readiness.draining);
    harness.database.pool().close().await;
    assert!(!harness.client.readiness().await.unwrap().ready);
    let refused = harness.client.runs(None, None, 1).await.unwrap_err();
    assert_eq!(refused.problem().unwrap().name(), "database");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_server_ends_its_streams() {
    let harness = Harness::open(Scenario::from_rules(Vec::new())).await;
    let accepted = harness.client.submit(&harness.new_run(), None).await.unwrap();
    let stream = harness
        .ask(Method::GET, &format!("/runs/{}/events", accepted.id))
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    harness.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), harness.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let error = harness.client.health().await.unwrap_err();
    assert!(matches!(error, api::ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_document_describes_every_operation() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let document = harness.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} is referred to and missing"
        );
    }
    for (schema, field) in [
        ("Recorded_GateReport/oneOf/0", "verdict"),
        ("Recorded_Feedback/oneOf/0", "reason"),
        ("ReturnedAttempt", "attempt"),
    ] {
        let pointer = format!("/components/schemas/{schema}/properties/{field}");
        assert!(document.pointer(&pointer).is_some(), "{pointer} is missing");
    }
    let operations: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    let mut ids: Vec<&str> = operations
        .iter()
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), operations.len(), "operation ids are unique");

    let docs = harness.get("/docs").await;
    assert!(docs.header("content-type").starts_with("text/html"));
    assert!(docs.text.contains("/runs/{id}/events"));
    assert!(
        !docs.text.contains("http://") && !docs.text.contains("https://"),
        "nothing is loaded from elsewhere"
    );
    for asset in ["/assets/style.css", "/assets/live.js"] {
        assert_eq!(harness.get(asset).await.status, 200);
    }
    assert_eq!(
        harness.get("/metrics").await.text,
        harness.get("/api/metrics").await.text
    );
    assert_eq!(
        harness.get("/api/metrics/health").await.status,
        503,
        "this process collects nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_reports_each_run_and_page_shows_expiry() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let accepted = harness.client.submit(&harness.new_run(), None).await.unwrap();
    assert_eq!(harness.get(&format!("/runs/{}/events", accepted.id)).await.status, 200);
    let mut asked = api::CleanRequest {
        dry_run: true,
        older_than_days: Some(0),
    };
    let dry = harness.client.clean(&asked).await.unwrap();
    let [run] = &dry.runs[..] else { panic!("{dry:?}") };
    assert!(run.run == accepted.id && run.trees && run.references > 0, "{run:?}");
    assert!(harness.client.run(&accepted.short).await.unwrap().expired_at.is_none());

    asked.dry_run = false;
    let cleaned = harness.client.clean(&asked).await.unwrap();
    assert_eq!(cleaned.runs, dry.runs);
    assert!(harness.client.run(&accepted.short).await.unwrap().expired_at.is_some());
    let page = answer(
        harness
            .ask(Method::GET, &format!("/runs/{}", accepted.id))
            .header("Accept", "text/html"),
    )
    .await;
    assert!(page.text.contains("trees and outputs were deleted on"), "{}", page.text);
    assert!(
        harness.client.clean(&asked).await.unwrap().runs.is_empty(),
        "twice is fine"
    );

    let readiness = harness.client.readiness().await.unwrap();
    let areas: Vec<&str> = readiness.disk_areas.iter().map(|area| area.area.as_str()).collect();
    assert_eq!(areas, ["hubs", "worktrees", "outputs", "cache"]);
    assert!(readiness.disk_areas[0].bytes > 0 && readiness.disk_problem.is_none());
    let request = harness
        .ask(Method::POST, "/clean")
        .header("Content-Type", "application/json");
    let (status, kind, field, _) = answer(request.body(r#"{"older_than": 3}"#)).await.problem();
    assert_eq!(
        (status, kind.as_str(), field.as_deref()),
        (422, "invalid-body", Some("older_than"))
    );
}
