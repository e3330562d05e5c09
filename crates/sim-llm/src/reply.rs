//! Sends the answer: complete, as a stream of fragments, or as a fault.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::rule::{Fault, Rule, ToolCall, Usage};

/// The most fragments of a streamed text, so that a large one does not take thousands of chunks.
const MAX_FRAGMENTS: usize = 32;
/// The smallest fragment.
const MIN_FRAGMENT_BYTES: usize = 12;
/// Wait before a connection is dropped, so that the client receives the first part of the body.
const BREAK_AFTER: Duration = Duration::from_millis(20);

/// The server's stop signal, which ends all waits.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(pub(crate) watch::Receiver<bool>);

impl Stopping {
    pub(crate) async fn wait(&mut self) {
        // An error means that the server is gone, which also ends the wait.
        drop(self.0.wait_for(|stopping| *stopping).await);
    }
}

/// A regular answer of the model.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<(String, ToolCall)>,
    pub(crate) finish_reason: String,
    pub(crate) usage: Usage,
}

/// How the client requested its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Whole,
    Stream,
    StreamWithUsage,
}

impl Answer {
    pub(crate) fn new(rule: &Rule, model: &str, seq: u64, turn: u32, created: u64, estimate: Usage) -> Self {
        let numbered = rule.tool_calls.iter().enumerate();
        // The turn is part of the id, because a server without a journal file counts from 1 after a restart, and ids must
        // be unique within a conversation.
        let calls: Vec<_> = numbered
            .map(|(at, call)| (format!("call_{turn}_{seq}_{at}"), call.clone()))
            .collect();
        let natural = if calls.is_empty() { "stop" } else { "tool_calls" };
        Self {
            id: format!("chatcmpl-sim-{seq}"),
            created,
            model: model.to_owned(),
            text: rule.say.clone().or_else(|| calls.is_empty().then(String::new)),
            calls,
            finish_reason: rule.finish_reason.clone().unwrap_or_else(|| natural.to_owned()),
            usage: rule.usage.unwrap_or(estimate),
        }
    }

    pub(crate) fn whole(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|(id, call)| wire_call(id, &call.name, &call.arguments))
            .collect();
        let mut message = json!({"role": "assistant", "content": self.text, "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
        }
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason}],
            "usage": wire_usage(self.usage),
        })
    }

    /// The chunks of a stream, in order, without the closing `[DONE]`.
    pub(crate) fn chunks(&self, delivery: Delivery) -> Vec<Value> {
        let mut deltas = vec![json!({"role": "assistant", "content": self.text.as_ref().map(|_| "")})];
        let text = self.text.as_deref().unwrap_or_default();
        deltas.extend(fragments(text).into_iter().map(|fragment| json!({"content": fragment})));
        for (at, (id, call)) in self.calls.iter().enumerate() {
            let mut first = wire_call(id, &call.name, "");
            first["index"] = json!(at);
            deltas.push(json!({"tool_calls": [first]}));
            let more = |fragment| json!({"tool_calls": [{"index": at, "function": {"arguments": fragment}}]});
            deltas.extend(fragments(&call.arguments).into_iter().map(more));
        }
        let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| self.chunk(delta, None)).collect();
        chunks.push(self.chunk(json!({}), Some(&self.finish_reason)));
        if delivery == Delivery::StreamWithUsage {
            for chunk in &mut chunks {
                chunk["usage"] = Value::Null;
            }
            let mut last = self.chunk(json!({}), None);
            last["choices"] = json!([]);
            last["usage"] = wire_usage(self.usage);
            chunks.push(last);
        }
        chunks
    }

    fn chunk(&self, delta: Value, finish_reason: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
        })
    }
}

/// An error in OpenAI's form.
pub(crate) fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": null}});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Sends a regular answer.
pub(crate) fn answer(answer: &Answer, delivery: Delivery) -> Response {
    match delivery {
        Delivery::Whole => json_response(Body::from(answer.whole().to_string())),
        Delivery::Stream | Delivery::StreamWithUsage => event_stream(ok(events(answer, delivery))),
    }
}

/// Sends a fault.
pub(crate) async fn fault(fault: &Fault, answer: &Answer, delivery: Delivery, mut stopping: Stopping) -> Response {
    match (fault, delivery) {
        (
            Fault::Status {
                status,
                retry_after,
                headers,
                body,
            },
            _,
        ) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let retry_after = retry_after.iter().map(|value| ("retry-after", value.as_str()));
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            status_response(status, retry_after.chain(headers), body.as_deref())
        }
        (Fault::Garbage, Delivery::Whole) => json_response(Body::from("<html><b>upstream hiccup</b> {\"choices\": [")),
        (Fault::Garbage, _) => event_stream(ok(vec![Bytes::from_static(b"data: {\"choices\": [<<<\n\n")])),
        (Fault::Empty, Delivery::Whole) => json_response(Body::empty()),
        (Fault::Empty, _) => event_stream(ok(Vec::new())),
        (Fault::Cut, Delivery::Stream | Delivery::StreamWithUsage) => {
            event_stream(ok(first_half(events(answer, delivery))))
        }
        (Fault::Cut | Fault::Reset, _) => half_response(answer, delivery, Box::pin(tokio::time::sleep(BREAK_AFTER))),
        (Fault::Stall, _) => half_response(answer, delivery, Box::pin(async move { stopping.wait().await })),
        (Fault::Hang, _) => {
            stopping.wait().await;
            error(StatusCode::SERVICE_UNAVAILABLE, "server_error", "the server stopped")
        }
    }
}

/// Sends the first half, waits, and drops the connection.
fn half_response(
    answer: &Answer,
    delivery: Delivery,
    wait: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
) -> Response {
    let dropped = stream::once(async move {
        wait.await;
        Err(std::io::Error::other("the connection is dropped here, as scripted"))
    });
    match delivery {
        Delivery::Whole => {
            let whole = answer.whole().to_string();
            let half = Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() / 2]);
            let mut response = json_response(Body::from_stream(ok(vec![half]).chain(dropped)));
            // The announced length shows the client that something is missing.
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            response
        }
        Delivery::Stream | Delivery::StreamWithUsage => {
            event_stream(ok(first_half(events(answer, delivery))).chain(dropped))
        }
    }
}

fn status_response<'header>(
    status: StatusCode,
    headers: impl Iterator<Item = (&'header str, &'header str)>,
    body: Option<&str>,
) -> Response {
    let mut response = match body {
        Some(body) => (status, body.to_owned()).into_response(),
        None => error(
            status,
            error_type(status),
            &format!("the scenario plays status {status}"),
        ),
    };
    for (name, value) in headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
            _ => tracing::warn!(name, value, "omitting a scripted header that is not valid in HTTP"),
        }
    }
    response
}

fn error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn json_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn event_stream(events: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

fn ok(parts: Vec<Bytes>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::iter(parts.into_iter().map(Ok))
}

fn events(answer: &Answer, delivery: Delivery) -> Vec<Bytes> {
    let chunks = answer.chunks(delivery).into_iter().map(|chunk| chunk.to_string());
    chunks
        .chain(["[DONE]".to_owned()])
        .map(|data| Bytes::from(format!("data: {data}\n\n")))
        .collect()
}

fn first_half(mut events: Vec<Bytes>) -> Vec<Bytes> {
    events.truncate(events.len() / 2);
    events
}

fn fragments(text: &str) -> Vec<&str> {
    let size = text.len().div_ceil(MAX_FRAGMENTS).max(MIN_FRAGMENT_BYTES);
    let mut fragments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (fragment, after) = rest.split_at(rest.ceil_char_boundary(size));
        fragments.push(fragment);
        rest = after;
    }
    fragments
}

fn wire_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn wire_usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })
}
