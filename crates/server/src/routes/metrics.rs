//! Metrics for Prometheus.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether metrics are collected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MetricsHealth {
    /// `ok` or `not_collecting`.
    status: &'static str,
    /// The number of samples in a scrape.
    samples: usize,
}

/// Metrics in the Prometheus text format
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Server",
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics."))
)]
pub(crate) async fn metrics() -> Response {
    text()
}

/// Metrics in the Prometheus text format, under another path
#[utoipa::path(
    get,
    path = "/api/metrics",
    tag = "Server",
    responses((status = 200, body = String, content_type = "text/plain", description = "The metrics."))
)]
pub(crate) async fn metrics_again() -> Response {
    text()
}

/// Check that metrics are collected
#[utoipa::path(
    get,
    path = "/api/metrics/health",
    tag = "Server",
    responses(
        (status = 200, body = MetricsHealth, description = "Metrics are collected."),
        (status = 503, body = MetricsHealth, description = "No metrics are collected.")
    )
)]
pub(crate) async fn metrics_health() -> (StatusCode, Json<MetricsHealth>) {
    let text = telemetry::prometheus_text();
    let samples = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .count();
    match samples {
        0 => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(MetricsHealth {
                status: "not_collecting",
                samples,
            }),
        ),
        _ => (StatusCode::OK, Json(MetricsHealth { status: "ok", samples })),
    }
}

fn text() -> Response {
    ([(header::CONTENT_TYPE, TEXT)], telemetry::prometheus_text()).into_response()
}
