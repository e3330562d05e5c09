//! What each event changes in the metrics, read by an independent parser.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/all_events.rs"]
mod all_events;
#[path = "common/scrape.rs"]
mod scrape;
#[path = "common/settings.rs"]
mod settings;

use all_events::emit_all_events;
use scrape::Scrape;
use settings::settings;
use std::time::Duration;
use telemetry::{LogFormat, Settings, http, llm, merge, task, tool};

fn events_are_counted_once() {
    emit_all_events();
    let scrape = Scrape::now();
    for (series, expected) in [
        (r#"git_merge_total{result="success"}"#, 1.0),
        (r#"git_merge_total{result="conflict"}"#, 1.0),
        (r#"git_merge_total{result="error"}"#, 0.0),
        ("git_merge_duration_seconds_count", 2.0),
        ("git_merge_duration_seconds_sum", 3.0),
        (r#"git_merge_duration_seconds_bucket{le="2"}"#, 2.0),
        ("git_merge_lock_violations_total", 0.0),
        ("git_active_merges", 0.0),
        (r#"gate_runs_total{result="not_configured"}"#, 1.0),
        (r#"integrity_flags_total{kind="check_changed"}"#, 1.0),
        (r#"integrity_flags_total{kind="process_exit"}"#, 0.0),
        (r#"task_completion_total{status="success",worker_profile="coder"}"#, 1.0),
        (r#"automation_job_steps_total{name="coder",status="success"}"#, 1.0),
        (r#"task_state_transitions_total{from="none",to="planned"}"#, 1.0),
        (r#"tasks_by_state{state="active"}"#, 3.0),
        ("active_tasks", 3.0),
        (r#"active_workers{worker_profile="coder"}"#, 0.0),
        (r#"run_total{status="failure"}"#, 1.0),
        (r#"automation_jobs_total{status="failed"}"#, 1.0),
        (r#"llm_requests_total{model="gpt-4",status="success"}"#, 1.0),
        (r#"llm_requests_total{model="gpt-4",status="rate_limited"}"#, 1.0),
        (r#"llm_tokens_total{model="gpt-4",token_type="input"}"#, 1010.0),
        (r#"llm_tokens_total{model="gpt-4",token_type="output"}"#, 220.0),
        (r#"ai_tokens_total{model="gpt-4"}"#, 1230.0),
        (r#"llm_cached_tokens_total{kind="cached",model="gpt-4"}"#, 300.0),
        (r#"llm_cost_dollars_total{model="gpt-4",role="worker"}"#, 0.0125),
        (r#"ai_cost_usd_sum{model="gpt-4"}"#, 0.0125),
        (r#"llm_unpriced_requests_total{model="gpt-4"}"#, 1.0),
        ("llm_budget_remaining_dollars", 2.5),
        (r#"tool_executions_total{status="completed",tool_name="shell"}"#, 1.0),
        (r#"tool_executions_total{status="failed",tool_name="read_file"}"#, 1.0),
        ("db_slow_queries_total", 1.0),
        ("database_connections", 8.0),
        (r#"queue_tasks_total{status="cancelled",task_name="plan"}"#, 1.0),
        (r#"celery_tasks_total{status="success",task_name="work"}"#, 1.0),
        (
            r#"http_requests_total{endpoint="/runs",method="POST",status="201"}"#,
            1.0,
        ),
        (
            r#"http_errors_total{endpoint="/runs/{id}",method="GET",status="404"}"#,
            1.0,
        ),
        (r#"build_info{environment="test",version="1.2.3"}"#, 1.0),
    ] {
        assert_eq!(scrape.value(series), expected, "{series}");
    }
    assert!(
        !scrape
            .samples
            .contains_key(r#"gate_duration_seconds_count{result="not_configured"}"#)
    );
    for observed in [
        "system_memory_used_bytes",
        "system_disk_used_bytes",
        "process_resident_memory_bytes",
    ] {
        assert!(scrape.value(observed) > 0.0, "{observed}");
    }
}

fn second_holder_of_one_lock_is_a_violation() {
    let value = |series| Scrape::now().value(series);
    let first = merge::lock_taken("one");
    let elsewhere = merge::lock_taken("two");
    assert_eq!(value("git_active_merges"), 1.0);
    assert_eq!(value("git_merge_lock_violations_total"), 0.0);
    let second = merge::lock_taken("one");
    assert_eq!(value("git_active_merges"), 2.0);
    assert_eq!(value("git_merge_lock_violations_total"), 1.0);
    drop((first, second, elsewhere));
    assert_eq!(value("git_active_merges"), 0.0);
}

fn unknown_names_become_other() {
    let before = Scrape::now().samples.len();
    llm::request("made-up", llm::LlmStatus::Error, Duration::ZERO, None);
    task::finished(task::TaskStatus::Failure, "/home/someone", Duration::ZERO, 0);
    drop(tool::started("rm -rf"));
    merge::conflict_resolved("no such strategy", "no such result");
    http::request("BREW", "/runs", 418, Duration::ZERO, 0);
    let scrape = Scrape::now();
    for series in [
        r#"llm_requests_total{model="other",status="error"}"#,
        r#"task_completion_total{status="failure",worker_profile="other"}"#,
        r#"tool_executions_total{status="failed",tool_name="other"}"#,
        r#"git_conflict_resolution_total{result="other",strategy="other"}"#,
        r#"http_requests_total{endpoint="/runs",method="other",status="418"}"#,
    ] {
        assert_eq!(scrape.value(series), 1.0, "{series}");
    }
    let text = telemetry::prometheus_text();
    for name in [
        "made-up",
        "someone",
        "rm -rf",
        "no such",
        "BREW",
        "planted-secret-value",
    ] {
        assert!(!text.contains(name), "{name} shows in the metrics");
    }
    assert!(
        scrape.samples.len() > before,
        "histograms of `other` appear at first use"
    );
}

fn series_beyond_the_limit_are_folded_into_one() {
    for number in 0..1200 {
        http::request("GET", &format!("/not/a/route/{number}"), 200, Duration::ZERO, 0);
    }
    let scrape = Scrape::now();
    assert!(scrape.value(r#"http_requests_total{otel_metric_overflow="true"}"#) > 0.0);
    assert!(
        scrape
            .samples
            .keys()
            .filter(|series| series.starts_with("http_requests_total"))
            .count()
            <= 1001
    );
}

/// A process has one telemetry, so one test checks all facts in turn.
#[test]
fn events_become_metrics() {
    let telemetry = telemetry::init(settings()).unwrap();
    events_are_counted_once();
    unknown_names_become_other();
    series_beyond_the_limit_are_folded_into_one();
    second_holder_of_one_lock_is_a_violation();

    let again = telemetry::init(Settings {
        log_format: LogFormat::Human,
        ..settings()
    });
    assert!(matches!(again, Err(telemetry::Error::AlreadyStarted)));
    telemetry.shutdown();
    assert_eq!(
        Scrape::now().value("active_tasks"),
        3.0,
        "metrics outlive the export of spans"
    );
}
