//! A collector that takes connections and never answers costs the product nothing.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/settings.rs"]
mod settings;

use settings::settings;
use std::{io::Read, net::TcpListener};
use telemetry::{
    Settings, TraceContext,
    span::{self, SpanKind},
};

/// Reaching the end is the proof: whatever waited for an answer would wait for ever.
#[test]
fn silent_collector_blocks_and_fails_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let telemetry = telemetry::init(Settings {
        otlp_endpoint: Some(endpoint),
        ..settings()
    })
    .unwrap();
    let run = TraceContext::generate();
    for number in 0..20_000 {
        drop(span::child(&run, SpanKind::Turn { number }));
    }
    telemetry.shutdown();
    let (mut connection, _) = listener.accept().unwrap();
    let mut head = [0; 4];
    connection.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"POST", "spans were sent to it");
}
