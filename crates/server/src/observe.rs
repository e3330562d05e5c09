//! Metrics and limits of all requests.

use crate::problem::Refusal;
use api::Problem;
use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// The most concurrent requests, and their time limit.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) answer_within: Duration,
}

/// Records every request under its route.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let bytes = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let response = next.run(request).await;
    telemetry::http::request(
        method.as_str(),
        route.as_ref().map_or("unmatched", MatchedPath::as_str),
        response.status().as_u16(),
        started.elapsed(),
        bytes.unwrap_or(0),
    );
    response
}

/// Limits concurrent requests and their time, except for `/healthz`.
pub(crate) async fn bound(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let Ok(_permit) = bounds.requests.try_acquire() else {
        let problem = Problem::new(
            503,
            "busy",
            "The server is busy",
            "the limit of concurrent requests (server.requests) is reached",
        )
        .hint("try again in a moment, or raise server.requests");
        return Refusal::from(problem).into_response();
    };
    match tokio::time::timeout(bounds.answer_within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = bounds.answer_within.as_secs();
            tracing::warn!(seconds, "request timed out");
            let problem = Problem::new(
                503,
                "too-slow",
                "The request timed out",
                format!("no response within {seconds} seconds; the change may still have happened"),
            )
            .hint("check the state before you repeat the request, or use the same Idempotency-Key");
            Refusal::from(problem).into_response()
        }
    }
}
