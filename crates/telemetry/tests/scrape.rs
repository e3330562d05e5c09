//! A scrape stays quick when there are many series.

#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/settings.rs"]
mod settings;

use settings::settings;
use std::time::{Duration, Instant};
use telemetry::{Settings, llm};

/// The bound that the product promises for ten thousand series. `orchestrator bench` measures; this guards.
const BOUND: Duration = Duration::from_millis(100);
/// How much slower than a release a debug build on a busy machine may be.
const DEBUG_FACTOR: u32 = 10;

#[test]
fn ten_thousand_series_are_scraped_in_time_and_records_are_cheap() {
    let models: Vec<String> = (0..500).map(|number| format!("model-{number}")).collect();
    let telemetry = telemetry::init(Settings {
        models: models.clone(),
        ..settings()
    })
    .unwrap();
    let text = telemetry::prometheus_text();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series > 10_000, "{series}");
    assert!(!text.contains("otel_metric_overflow"), "known names never overflow");

    let quickest = (0..5).map(|_| {
        let started = Instant::now();
        telemetry::prometheus_text();
        started.elapsed()
    });
    let quickest = quickest.min().unwrap();
    println!("{series} series in {quickest:?}");
    assert!(quickest < BOUND * DEBUG_FACTOR, "{quickest:?}");

    let records = 100_000;
    let started = Instant::now();
    for number in 0..records {
        llm::rate_limited(&models[number % models.len()]);
    }
    let each = started.elapsed() / records as u32;
    println!("{each:?} a record");
    assert!(each < Duration::from_micros(1) * DEBUG_FACTOR, "{each:?}");
    telemetry.shutdown();
}
