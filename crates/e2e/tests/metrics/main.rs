//! After a run, the numbers in `/metrics` equal the model's journal and the database rows.

#[path = "../common/demo.rs"]
mod demo;
#[path = "../common/exposition.rs"]
mod exposition;
#[path = "../common/prometheus.rs"]
mod prometheus;
mod rows;

mod mishaps;
mod secrets;

use domain::RunId;
use e2e::{Product, eventually};
use exposition::Exposition;
use prometheus::{Prometheus, promtool_output};
use rows::{
    Rows, merges_equal_the_rows, models_equal_the_ledger, queue_and_tools_equal_the_rows, same, tasks_equal_the_rows,
};
use sim_llm::{Entry, Scenario, Status};
use std::collections::{BTreeMap, BTreeSet};

/// Findings of `promtool check metrics` that stay, because older dashboards need the names.
const KNOWN_LINTS: &str = include_str!("../../../telemetry/tests/golden/promtool.txt");

/// Counters that change without a run: the server's own activity, and the test's requests.
const NEVER_IDLE: [&str; 4] = [
    "db_queries_total",
    "http_requests_total",
    "http_errors_total",
    "process_cpu_seconds_total",
];

/// Gauges of current activity, which must be 0 without any.
const LEVELS: [&str; 13] = [
    "active_jobs",
    "active_runs",
    "active_sandboxes",
    "active_sandboxes_total",
    "active_tasks",
    "active_workers",
    "git_active_merges",
    "git_merge_queue_length",
    "git_merge_waiting",
    "queue_length",
    "queue_tasks_active",
    "tasks_by_state",
    "tool_executions_active",
];

/// The names that dashboards use, with their types; a histogram appears with its first observation.
const DASHBOARDS: [(&str, &str); 15] = [
    ("active_tasks", "gauge"),
    ("active_workers", "gauge"),
    ("git_active_merges", "gauge"),
    ("git_lock_wait_duration_seconds", "histogram"),
    ("git_merge_duration_seconds", "histogram"),
    ("git_merge_total", "counter"),
    ("llm_cost_dollars_total", "counter"),
    ("llm_rate_limit_events_total", "counter"),
    ("llm_requests_total", "counter"),
    ("llm_tokens_total", "counter"),
    ("task_completion_total", "counter"),
    ("task_execution_duration_seconds", "histogram"),
    ("task_retry_count", "histogram"),
    ("tasks_by_state", "gauge"),
    ("run_total", "counter"),
];

async fn text(product: &Product) -> String {
    let answer = reqwest::get(format!("{}/metrics", product.address))
        .await
        .expect("the server answers");
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
    );
    answer.text().await.expect("metrics are text")
}

async fn scrape(product: &Product) -> Exposition {
    Exposition::read(&text(product).await)
}

/// Whether everything about a run has been recorded.
fn is_at_rest(scrape: &Exposition, runs: f64, tasks: f64) -> bool {
    scrape.total("run_total") == runs
        && scrape.total("task_completion_total") == tasks
        && LEVELS.iter().all(|level| scrape.total(level) == 0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn known_series_start_at_zero() {
    let product = Product::start(Scenario::from_rules(Vec::new())).await;
    let scrape = scrape(&product).await;
    for (name, kind) in DASHBOARDS.iter().filter(|(_, kind)| *kind != "histogram") {
        assert_eq!(
            scrape.families.get(*name).map(|family| family.kind.as_str()),
            Some(*kind),
            "{name}"
        );
    }
    for (name, family) in &scrape.families {
        if family.kind == "counter" && !NEVER_IDLE.contains(&name.as_str()) {
            assert_eq!(scrape.total(name), 0.0, "{name}");
        }
        if family.kind == "counter" && !name.starts_with("http_") {
            let combinations: usize = values_by_label(family).values().map(BTreeSet::len).product();
            assert_eq!(
                family.samples.len(),
                combinations,
                "{name} lacks a combination of its labels"
            );
        }
    }
    for level in LEVELS {
        assert_eq!(scrape.total(level), 0.0, "{level}");
    }
    let models = &values_by_label(&scrape.families["llm_requests_total"])["model"];
    assert!(
        models.contains(demo::DIRECTOR) && models.contains("other"),
        "{models:?}"
    );
    let profiles = &values_by_label(&scrape.families["task_completion_total"])["worker_profile"];
    assert!(
        profiles.is_superset(&["planner", "coder", "tester", "other"].map(String::from).into()),
        "{profiles:?}"
    );
    assert!(scrape.value("system_memory_used_bytes") > 0.0 && scrape.value("process_resident_memory_bytes") > 0.0);
    assert_eq!(scrape.total("build_info"), 1.0);
}

fn values_by_label(family: &exposition::Family) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (label, value) in family.samples.iter().flat_map(|sample| &sample.labels) {
        values.entry(label.clone()).or_default().insert(value.clone());
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_the_demo_equal_journal_and_rows() {
    // An early check is dropped if its base fails, and then its sandbox is in no row.
    let place = e2e::directory();
    let file = place.path().join("orchestrator.toml");
    std::fs::write(&file, "[engine]\ngates_ahead = 0\n").unwrap();
    let environment = [("ORCHESTRATOR_CONFIG", file.to_str().unwrap())];
    let product = Product::start_with(demo::scenario(), &environment).await;
    let prometheus = Prometheus::start(&product.address).await;
    let repository = demo::repository(&product);
    let run = demo::submit(&product, &repository).await;
    eventually("every event is counted", || async {
        let scrape = scrape(&product).await;
        is_at_rest(&scrape, 1.0, 7.0).then_some(())
    })
    .await;
    assert_eq!(product.end(run).await["state"], "complete", "{}", product.log());

    let text = text(&product).await;
    let scrape = Exposition::read(&text);
    for (name, kind) in DASHBOARDS {
        assert_eq!(
            scrape.families.get(name).map(|family| family.kind.as_str()),
            Some(kind),
            "{name}"
        );
    }
    equals_the_journal(&scrape, &product.journal());
    let database = product.database().await;
    let rows = Rows {
        database: &database,
        scrape: &scrape,
    };
    tasks_equal_the_rows(&rows).await;
    merges_equal_the_rows(&rows).await;
    queue_and_tools_equal_the_rows(&rows).await;
    models_equal_the_ledger(&rows).await;
    server_metrics_are_recorded(&scrape);
    assert_eq!(promtool_output(&text), KNOWN_LINTS);
    names_nothing_private(&text, &product, &repository, run);
    prometheus_agrees(&prometheus, &scrape).await;
}

/// By model and status, as named in metrics.
fn equals_the_journal(scrape: &Exposition, journal: &[Entry]) {
    let mut requests: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    let mut tokens: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    let mut cached: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for entry in journal {
        let status = match entry.status {
            Status::Http(200) => "success",
            Status::Http(429) => "rate_limited",
            Status::Http(_) | Status::Cut | Status::Reset | Status::Garbage | Status::Empty => "error",
            // The run is cancelled meanwhile, so these have no result.
            Status::Hang | Status::Stall => "cancelled",
        };
        *requests.entry(vec![entry.model.clone(), status.into()]).or_default() += 1.0;
        for (kind, count) in [("input", entry.prompt_tokens), ("output", entry.completion_tokens)] {
            *tokens.entry(vec![entry.model.clone(), kind.into()]).or_default() += count as f64;
        }
        *cached.entry(vec![entry.model.clone(), "cached".into()]).or_default() += entry.cached_tokens as f64;
    }
    same(
        "llm_requests_total",
        scrape.by("llm_requests_total", &["model", "status"]),
        requests.clone(),
    );
    same(
        "ai_requests_total",
        scrape.by("ai_requests_total", &["model", "status"]),
        requests.clone(),
    );
    same(
        "llm_tokens_total",
        scrape.by("llm_tokens_total", &["model", "token_type"]),
        tokens,
    );
    same(
        "llm_cached_tokens_total",
        scrape.by("llm_cached_tokens_total", &["model", "kind"]),
        cached,
    );
    let limited = requests.iter().filter(|(key, _)| key[1] == "rate_limited");
    let limited: BTreeMap<_, _> = limited.map(|(key, count)| (vec![key[0].clone()], *count)).collect();
    assert_eq!(limited.values().sum::<f64>(), 1.0, "the demo has one 429");
    same(
        "llm_rate_limit_events_total",
        scrape.by("llm_rate_limit_events_total", &["model"]),
        limited,
    );
    let mut sent: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for entry in journal {
        *sent.entry(vec![entry.model.clone()]).or_default() += 1.0;
    }
    same(
        "llm_request_duration_seconds",
        scrape.observations("llm_request_duration_seconds", &["model"]),
        sent,
    );
}

/// Checks metrics that are not in rows: requests, statements, connections, the machine.
fn server_metrics_are_recorded(scrape: &Exposition) {
    let requests = scrape.by("http_requests_total", &["method", "endpoint", "status"]);
    assert_eq!(requests[&["POST", "/runs", "201"].map(String::from).to_vec()], 1.0);
    let metrics = ["GET", "/metrics", "200"].map(String::from).to_vec();
    assert!(requests[&metrics] > 10.0);
    let answered: BTreeSet<&String> = requests.keys().map(|key| &key[1]).collect();
    assert!(
        answered.iter().all(|endpoint| !endpoint.contains(char::is_numeric)),
        "{answered:?}"
    );
    assert!(
        scrape.sums("http_request_size_bytes", &["method", "endpoint"])[&["POST", "/runs"].map(String::from).to_vec()]
            > 100.0
    );
    let statements = scrape.by("db_queries_total", &["operation"]);
    for operation in ["select", "insert", "update", "begin", "commit", "listen"] {
        assert!(
            statements[&vec![operation.to_owned()]] > 0.0,
            "{operation}: {statements:?}"
        );
    }
    let timed = scrape.observations("db_query_duration_seconds", &["operation"]);
    assert!(
        timed.iter().all(|(operation, count)| statements[operation] == *count),
        "{timed:?} {statements:?}"
    );
    assert!(scrape.observations("db_pool_wait_seconds", &[])[&Vec::new()] >= statements[&vec!["begin".to_owned()]]);
    assert_eq!(scrape.value("db_slow_queries_total"), 0.0);
    assert!(scrape.value("db_connections_active") + scrape.value("db_connections_idle") >= 1.0);
    assert_eq!(scrape.by("worker_slots", &["state"])[&vec!["used".to_owned()]], 0.0);
    let blocked = scrape.by("task_blocked_seconds_total", &["reason"]);
    for reason in ["dependency", "slot", "rate_limit"] {
        assert!(
            blocked[&vec![reason.to_owned()]] > 0.0,
            "no task was held up by {reason}: {blocked:?}"
        );
    }
    assert!(
        scrape.value("process_cpu_seconds_total") > 0.0,
        "it has worked since it started"
    );
}

/// Checks that metrics contain no id, path, address or key.
fn names_nothing_private(text: &str, product: &Product, repository: &std::path::Path, run: RunId) {
    for private in [
        run.to_string(),
        repository.display().to_string(),
        product.directory.path().display().to_string(),
        product.model.base_url(),
        "sk-test".to_owned(),
        "longest-line".to_owned(),
        "orchestrator/".to_owned(),
    ] {
        assert!(!text.contains(&private), "{private} is in /metrics");
    }
    assert!(!text.contains("otel_metric_overflow"), "a limit on series is too low");
}

async fn prometheus_agrees(prometheus: &Prometheus, scrape: &Exposition) {
    let merges = scrape.total("git_merge_total");
    let samples = scrape.samples() as f64;
    eventually(
        "prometheus has the last numbers, and as many samples as were read here",
        || async {
            let found = prometheus.query("sum(git_merge_total) or scrape_samples_scraped").await;
            (found == [merges, samples]).then_some(())
        },
    )
    .await;
    for (query, value) in [
        ("sum(llm_tokens_total)", scrape.total("llm_tokens_total")),
        ("sum(task_completion_total{status=\"success\"})", 7.0),
        (
            "count(count by (__name__) ({job=\"agent-orchestrator\", __name__=~\"git_merge_total|active_tasks\"}))",
            2.0,
        ),
        ("max_over_time(git_active_merges[5m])", 1.0),
        ("scrape_samples_scraped - scrape_samples_post_metric_relabeling", 0.0),
    ] {
        assert_eq!(prometheus.query(query).await, [value], "{query}");
    }
    for query in [
        "histogram_quantile(0.95, sum by (le) (rate(git_merge_duration_seconds_bucket[5m])))",
        "histogram_quantile(0.95, sum by (le) (rate(git_lock_wait_duration_seconds_bucket[5m])))",
        "histogram_quantile(0.95, sum by (le) (rate(llm_request_duration_seconds_bucket[5m])))",
        "max_over_time(sum(active_workers)[5m:250ms])",
        "max_over_time(active_tasks[5m])",
        "max_over_time(sum(tasks_by_state)[5m:250ms]) > 6",
        "max_over_time(llm_budget_remaining_dollars[5m])",
        "sum(increase(llm_cost_dollars_total[1h]))",
        "topk(1, sum by (model) (rate(llm_tokens_total[5m])))",
        "sum(rate(task_completion_total{status=\"success\"}[5m])) / sum(rate(task_completion_total[5m]))",
    ] {
        let found = prometheus.query(query).await;
        assert!(
            found.len() == 1 && found[0].is_finite() && found[0] > 0.0,
            "{query}: {found:?}"
        );
    }
    let own = prometheus.own_metrics().await;
    for fault in [
        "sample_duplicate_timestamp",
        "sample_out_of_order",
        "sample_out_of_bounds",
    ] {
        let line = format!("prometheus_target_scrapes_{fault}_total 0\n");
        assert!(own.contains(&line), "{fault} is not 0");
    }
}
