//! The metrics equal what the provider saw. One test, because a process has one telemetry.

mod common;

use common::{Act, Book, Ending, Provider, delta, finish, request, say, settings};
use llm::{CostRole, ModelRef, Models, Request};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// The value of the series with all of these labels.
fn metric(name: &str, labels: &[&str]) -> f64 {
    telemetry::prometheus_text()
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

fn start_telemetry() -> telemetry::Telemetry {
    telemetry::init(telemetry::Settings {
        profiles: Vec::new(),
        models: vec!["gpt-4o".into(), "gpt-4".into()],
        tools: Vec::new(),
        compatibility_names: false,
        metrics_enabled: true,
        environment: "test".into(),
        version: "0".into(),
        otlp_endpoint: None,
        log_format: telemetry::LogFormat::Json,
        log_filter: Some("warn".into()),
        data_dir_for_disk: PathBuf::from("/"),
        secrets: Vec::new(),
    })
    .expect("telemetry starts once")
}

#[tokio::test]
async fn metrics_equal_what_the_provider_saw() {
    let telemetry = start_telemetry();
    let provider = Provider::play([
        Act::limited("retry-after-ms", "1"),
        Act::status(500, ""),
        say("one"),
        Act::stream([delta("cut")], Ending::Cut),
        say("two"),
        Act::status(401, ""),
        Act::Hang,
        say("three"),
        Act::stream(
            [
                delta("four"),
                finish("stop"),
                json!({ "choices": [], "usage": {
            "prompt_tokens": 500, "completion_tokens": 50,
            "prompt_tokens_details": { "cached_tokens": 200 },
            "completion_tokens_details": { "reasoning_tokens": 10 },
        } }),
            ],
            Ending::Done,
        ),
        Act::Hang,
    ])
    .await;
    let mut settings = settings(&provider.base_url);
    settings.timeouts.header = Duration::from_millis(300);
    let models = Models::new(settings).unwrap();
    let book = Book::default();
    let trace = telemetry::TraceContext::generate();
    let ask = |role| {
        let request = Request { role, ..request() };
        let (models, book) = (&models, &book);
        async move { models.complete(&request, book, Some(&trace)).await }
    };
    ask(CostRole::Director).await.unwrap();
    ask(CostRole::Worker).await.unwrap();
    ask(CostRole::Worker).await.unwrap_err();
    ask(CostRole::Resolver).await.unwrap();
    // A dated name is counted under the price table's name.
    let dated = Request {
        model: ModelRef::new("p", "gpt-4o-2024-11-20"),
        ..request()
    };
    models.complete(&dated, &book, None).await.unwrap();
    tokio::select! {
        _ = ask(CostRole::Worker) => panic!("it hangs"),
        () = provider.saw(10) => {}
    }

    let requests = |status: &str| {
        metric(
            "llm_requests_total",
            &["model=\"gpt-4o\"", &format!("status=\"{status}\"")],
        )
    };
    assert_eq!(metric("llm_requests_total", &[]), provider.seen().len() as f64);
    assert_eq!(
        ["success", "error", "rate_limited", "timeout", "cancelled"].map(requests),
        [4.0, 3.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(metric("llm_rate_limit_events_total", &["model=\"gpt-4o\""]), 1.0);
    assert_eq!(metric("llm_tokens_total", &["token_type=\"input\""]), 3_500.0);
    assert_eq!(metric("llm_tokens_total", &["token_type=\"output\""]), 350.0);
    assert_eq!(metric("llm_cached_tokens_total", &["kind=\"cached\""]), 200.0);
    for reason in ["rate_limited", "server_error", "cut_stream", "timeout"] {
        assert_eq!(
            metric("llm_retries_total", &[&format!("reason=\"{reason}\"")]),
            1.0,
            "{reason}"
        );
    }
    let settled: f64 = book
        .entries()
        .iter()
        .filter_map(|(_, outcome)| outcome.as_ref()?.cost)
        .map(|c| c.dollars())
        .sum();
    let counted = metric("llm_cost_dollars_total", &[]);
    assert!((settled - counted).abs() < 1e-9 && settled > 0.0, "{settled} {counted}");
    assert_eq!(metric("llm_time_to_first_token_seconds_count", &[]), 5.0);
    telemetry.shutdown();
}
