//! A collector that takes connections and never answers costs the product nothing.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/settings.rs"]
mod settings;

use settings::settings;
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use telemetry::{
    Settings, TraceContext,
    span::{self, SpanKind},
};

#[test]
fn a_collector_that_never_answers_neither_blocks_nor_fails_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let telemetry = telemetry::init(Settings {
        otlp_endpoint: Some(endpoint),
        ..settings()
    })
    .unwrap();
    let run = TraceContext::generate();
    let started = Instant::now();
    for number in 0..20_000 {
        drop(span::child(&run, SpanKind::Turn { number }));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let stopping = Instant::now();
    telemetry.shutdown();
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
}
