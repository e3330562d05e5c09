//! Every request is counted and bounded in one place.

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

/// How many requests are worked on at one time, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) answer_within: Duration,
}

/// Records each request under its route, whatever became of it.
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

/// Refuses what is too much, and gives up on what takes too long. Whether the server is there can always be asked.
pub(crate) async fn bound(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let Ok(_place) = bounds.requests.try_acquire() else {
        let problem = Problem::new(
            503,
            "busy",
            "The server is busy",
            "too many requests are being worked on",
        )
        .hint("try again in a moment, or raise the server's limit on requests");
        return Refusal::from(problem).into_response();
    };
    match tokio::time::timeout(bounds.answer_within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = bounds.answer_within.as_secs();
            tracing::warn!(seconds, "a request was given up");
            let problem = Problem::new(
                503,
                "too-slow",
                "The answer took too long",
                format!("the request was given up after {seconds} seconds; what it asked for may have happened"),
            )
            .hint("look before asking again, or ask with the same Idempotency-Key");
            Refusal::from(problem).into_response()
        }
    }
}
