//! The HTTP server: routes, and the path of a request.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::check;
use crate::conversation::Conversation;
use crate::journal::{Entry, Journal, Status};
use crate::reply::{self, Answer, Delivery, Stopping};
use crate::rule::Fault;
use crate::scenario::Scenario;
use crate::usage;
use crate::violation::{Violation, ViolationKind};

/// The largest request; larger ones are rejected with 413.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// How long stopping waits for running responses before it drops them.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Options of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The journal's file of JSON lines. Existing entries are read at start: numbering and rules with `times` continue.
    pub journal: Option<PathBuf>,
    /// The required bearer token, if any. Requests without it are answered with 401 and not recorded.
    pub api_key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            journal: None,
            api_key: None,
        }
    }
}

/// A running server. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    scenario: Scenario,
    journal: Mutex<Journal>,
    api_key: Option<String>,
    stopping: Stopping,
}

impl Server {
    /// Opens the journal, listens and starts answering. Errors name the address or the file.
    pub async fn start(scenario: Scenario, options: Options) -> io::Result<Self> {
        let journal = options
            .journal
            .as_deref()
            .map_or_else(|| Ok(Journal::in_memory()), Journal::open)?;
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            let text = format!("cannot listen on {}: {error}; choose another address", options.listen);
            io::Error::new(error.kind(), text)
        })?;
        let address = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let stopping = Stopping(stopping);
        let journal = Mutex::new(journal);
        let shared = Arc::new(Shared {
            scenario,
            journal,
            api_key: options.api_key,
            stopping: stopping.clone(),
        });
        // Without this, small chunks of a stream would wait for delayed acknowledgements.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "nodelay could not be set");
            }
        });
        let routes = routes(Arc::clone(&shared));
        let mut stopped = stopping;
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes)
                .with_graceful_shutdown(async move { stopped.wait().await })
                .await
        });
        Ok(Self {
            address,
            shared,
            stop,
            serving,
        })
    }

    /// The base URL for OpenAI clients: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far, in order of arrival.
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.journal().entries().to_vec()
    }

    /// The body of a request, if it is still in memory.
    pub fn request(&self, seq: u64) -> Option<Value> {
        self.shared.journal().request(seq).cloned()
    }

    /// Stops listening, ends hanging requests, and waits shortly for running responses.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_LIMIT, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat_completions))
        .route("/chat/completions", post(chat_completions))
        .route("/v1/models", get(models))
        .route("/models", get(models))
        .route("/journal", get(journal))
        .route("/journal/{seq}", get(journal_request))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(async || reply::error(StatusCode::NOT_FOUND, "invalid_request_error", "no such path"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(shared)
}

async fn models(State(_): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"object": "list", "data": [{"id": "sim", "object": "model", "created": 0, "owned_by": "sim-llm"}]}))
}

async fn journal(State(shared): State<Arc<Shared>>) -> Json<Vec<Entry>> {
    Json(shared.journal().entries().to_vec())
}

async fn journal_request(State(shared): State<Arc<Shared>>, Path(seq): Path<u64>) -> Result<Json<Value>, Response> {
    let request = shared.journal().request(seq).cloned();
    request.map(Json).ok_or_else(|| {
        let text = format!("the journal has no request {seq} in memory");
        reply::error(StatusCode::NOT_FOUND, "invalid_request_error", &text)
    })
}

/// The recorded answer to a request.
enum Decision {
    Refuse(Response),
    Answer {
        answer: Answer,
        latency: Duration,
        fault: Option<Fault>,
    },
}

async fn chat_completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !shared.admits(&headers) {
        let text = "incorrect API key provided; send it as Authorization: Bearer";
        return reply::error(StatusCode::UNAUTHORIZED, "authentication_error", text);
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let delivery = delivery(&request);
    match shared.decide(request) {
        Err(error) => {
            let text = format!("the journal cannot be written: {error}");
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &text)
        }
        Ok(Decision::Refuse(response)) => response,
        Ok(Decision::Answer { answer, latency, fault }) => {
            let mut stopping = shared.stopping.clone();
            if !latency.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(latency) => {}
                    () = stopping.wait() => {}
                }
            }
            match fault {
                Some(fault) => reply::fault(&fault, &answer, delivery, stopping).await,
                None => reply::answer(&answer, delivery),
            }
        }
    }
}

fn delivery(request: &Value) -> Delivery {
    match (
        request["stream"] == true,
        request["stream_options"]["include_usage"] == true,
    ) {
        (false, _) => Delivery::Whole,
        (true, false) => Delivery::Stream,
        (true, true) => Delivery::StreamWithUsage,
    }
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A panic elsewhere can't corrupt the journal: entries are added whole.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.api_key
            .as_ref()
            .is_none_or(|key| given.and_then(|given| given.strip_prefix("Bearer ")) == Some(key))
    }

    /// Finds the rule, counts its use and records the request, all under one lock.
    fn decide(&self, request: Value) -> io::Result<Decision> {
        let conversation = Conversation::derive(&request);
        let violations = check::violations(&request, &self.scenario);
        let mut entry = entry(&conversation, &request, violations);
        let mut journal = self.journal();
        if !entry.violations.is_empty() {
            let details: Vec<&str> = entry
                .violations
                .iter()
                .map(|violation| violation.detail.as_str())
                .collect();
            let response = reply::error(StatusCode::BAD_REQUEST, "invalid_request_error", &details.join("; "));
            entry.status = Status::Http(400);
            journal.record(entry, request)?;
            return Ok(Decision::Refuse(response));
        }
        let Some(labelled) = self.scenario.find(&conversation, |rule| journal.answered(rule)) else {
            let detail = unscripted(&conversation, &self.scenario);
            let response = reply::error(StatusCode::INTERNAL_SERVER_ERROR, "unscripted", &detail);
            entry.violations.push(Violation {
                kind: ViolationKind::Unscripted,
                detail,
            });
            entry.status = Status::Http(500);
            journal.record(entry, request)?;
            return Ok(Decision::Refuse(response));
        };
        let rule = &labelled.rule;
        let estimate = usage::estimate(&request, rule);
        let created = entry.at_unix_ms / 1000;
        let seq = journal.next_seq();
        let answer = Answer::new(rule, &conversation.model, seq, conversation.turn, created, estimate);
        entry.rule = Some(labelled.label.clone());
        entry.status = status(rule.fault.as_ref());
        if rule.fault.is_none() {
            entry.prompt_tokens = answer.usage.prompt_tokens;
            entry.cached_tokens = answer.usage.cached_tokens;
            entry.completion_tokens = answer.usage.completion_tokens;
            entry.tools = rule.tool_calls.iter().map(|call| call.name.clone()).collect();
        }
        journal.record(entry, request)?;
        Ok(Decision::Answer {
            answer,
            latency: Duration::from_millis(rule.latency_ms),
            fault: rule.fault.clone(),
        })
    }
}

fn entry(conversation: &Conversation, request: &Value, violations: Vec<Violation>) -> Entry {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Entry {
        seq: 0,
        at_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        model: conversation.model.clone(),
        role: conversation.role.clone(),
        profile: conversation.profile.clone(),
        task: conversation.task.clone(),
        attempt: conversation.attempt,
        turn: conversation.turn,
        file: conversation.file.clone(),
        hunk: conversation.hunk,
        stream: request["stream"] == true,
        status: Status::Http(200),
        rule: None,
        prompt_tokens: 0,
        cached_tokens: 0,
        completion_tokens: 0,
        tools: Vec::new(),
        violations,
    }
}

fn status(fault: Option<&Fault>) -> Status {
    match fault {
        None => Status::Http(200),
        Some(Fault::Status { status, .. }) => Status::Http(*status),
        Some(Fault::Cut) => Status::Cut,
        Some(Fault::Reset) => Status::Reset,
        Some(Fault::Garbage) => Status::Garbage,
        Some(Fault::Empty) => Status::Empty,
        Some(Fault::Hang) => Status::Hang,
        Some(Fault::Stall) => Status::Stall,
    }
}

fn unscripted(conversation: &Conversation, scenario: &Scenario) -> String {
    let absent = || "-".to_owned();
    format!(
        "no rule of the scenario matches this request: role={} profile={} task={} attempt={} turn={} file={} hunk={} \
         model={}; add one, the rules are (a rule with times may be used up):\n{}",
        conversation.role,
        conversation.profile.clone().unwrap_or_else(absent),
        conversation.task.clone().unwrap_or_else(absent),
        conversation.attempt,
        conversation.turn,
        conversation.file.clone().unwrap_or_else(absent),
        conversation.hunk.map_or_else(absent, |hunk| hunk.to_string()),
        conversation.model,
        scenario.summary(),
    )
}
