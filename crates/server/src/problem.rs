//! Errors as responses: problem documents that name the value and what to do.

use api::{Invalid, Problem};
use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use engine::{AnswerError, CancelError, DeliverError, FieldProblem, SubmitError, view::FindRunError};

/// The longest error text of the framework that is kept.
const REWORDED_BYTES: usize = 4 << 10;

/// A problem as the response to a request.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Box<Problem>);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem.bounded()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Syntax { message } => Problem::new(400, "not-json", "The body is not JSON", message)
                .hint("send a JSON document; /docs shows an example")
                .into(),
            Invalid::Shape {
                path,
                value,
                message,
                hint,
            } => {
                let mut problem = Problem::new(422, "invalid-body", "The body has the wrong shape", message);
                problem.field = Some(path).filter(|path| !path.is_empty());
                problem.value = value;
                problem.hint = hint.or_else(|| Some("/docs shows every field".into()));
                problem.into()
            }
        }
    }
}

fn about_field(status: u16, kind: &str, title: &str, found: FieldProblem) -> Refusal {
    Problem::new(status, kind, title, found.message)
        .field(request_field(found.field))
        .value(found.value)
        .hint(found.hint)
        .into()
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid(found) => about_field(422, "invalid-value", "A value can't be used", found),
            SubmitError::Unusable(found) => about_field(409, "unusable", "What the request names can't be used", found),
            SubmitError::KeyReused { key, run } => Problem::new(
                409,
                "idempotency-key-reused",
                "The idempotency key belongs to another request",
                format!("this key created run {run}, with a different request"),
            )
            .field("Idempotency-Key")
            .value(key)
            .hint("send the same request again, or use a new key")
            .into(),
            error @ SubmitError::TooManyRuns { .. } => {
                Problem::new(429, "too-many-runs", "Too many runs are unfinished", error.to_string())
                    .field("limits.open_runs")
                    .hint("wait until runs have ended, cancel some, or raise limits.open_runs in the configuration")
                    .into()
            }
            SubmitError::Unavailable(message) => {
                Problem::new(503, "unavailable", "The server takes no new runs", message).into()
            }
            SubmitError::Internal(message) => internal(&message),
        }
    }
}

/// The path in the body of a field of the engine's request.
fn request_field(field: &str) -> String {
    match field {
        "director_model" | "worker_model" | "check" => format!("orch_config.{field}"),
        field if field.starts_with("limits.") => format!("orch_config.{field}"),
        field => field.to_owned(),
    }
}

impl From<CancelError> for Refusal {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound(run) => unknown_run(&run.to_string()),
            CancelError::Refused(message) => {
                Problem::new(409, "not-cancellable", "The run can't be cancelled", message).into()
            }
            CancelError::Internal(message) => internal(&message),
        }
    }
}

impl From<DeliverError> for Refusal {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::NotFound(run) => unknown_run(&run.to_string()),
            DeliverError::Refused(message) => {
                Problem::new(409, "not-deliverable", "The run can't be delivered", message).into()
            }
            DeliverError::Internal(message) => internal(&message),
        }
    }
}

impl From<AnswerError> for Refusal {
    fn from(error: AnswerError) -> Self {
        let text = error.to_string();
        match error {
            AnswerError::Unknown(merge) => unknown_merge(&merge.to_string()),
            AnswerError::NotWaiting { state, .. } => {
                Problem::new(409, "not-waiting", "The merge does not wait for a person", text)
                    .field("id")
                    .value(state.as_str())
                    .hint("`orchestrator merges` or GET /merges?state=waiting lists the merges that do")
                    .into()
            }
            AnswerError::Changed(merge) => Problem::new(409, "conflict-changed", "The conflict has changed", text)
                .field("tip")
                .hint(format!("see GET /merges/{merge} and decide again; nothing was changed"))
                .into(),
            AnswerError::Invalid { field, value, hint, .. } => {
                Problem::new(422, "invalid-value", "A value can't be used", text)
                    .field(field)
                    .value(value)
                    .hint(hint)
                    .into()
            }
            AnswerError::Internal(message) => internal(&message),
        }
    }
}

impl From<FindRunError> for Refusal {
    fn from(error: FindRunError) -> Self {
        let text = error.to_string();
        match error {
            FindRunError::NotFound(run) => unknown_run(&run),
            FindRunError::Malformed(value) => Problem::new(400, "invalid-run-id", "This is not a run id", text)
                .field("id")
                .value(value)
                .hint("`orchestrator runs` or GET /runs lists all runs")
                .into(),
            FindRunError::Ambiguous { text: value, .. } => {
                Problem::new(409, "ambiguous-run-id", "Several runs end in these digits", text)
                    .field("id")
                    .value(value)
                    .into()
            }
            FindRunError::Database(error) => error.into(),
        }
    }
}

impl From<engine::view::Error> for Refusal {
    fn from(error: engine::view::Error) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "request failed: the database is unavailable");
            return Problem::new(503, "database", "The database is unavailable", error.to_string())
                .hint("try again in a moment; GET /readyz shows when it is back")
                .into();
        }
        internal(&error.to_string())
    }
}

pub(crate) fn unknown_run(run: &str) -> Refusal {
    Problem::new(
        404,
        "unknown-run",
        "There is no such run",
        format!("there is no run {run}"),
    )
    .field("id")
    .value(run)
    .hint("`orchestrator runs` or GET /runs lists all runs")
    .into()
}

pub(crate) fn unknown_merge(merge: &str) -> Refusal {
    let shown: String = merge.chars().take(80).collect();
    Problem::new(
        404,
        "unknown-merge",
        "There is no such merge",
        format!("there is no merge {shown}"),
    )
    .field("id")
    .value(shown)
    .hint("`orchestrator merges` or GET /merges lists all merges with their numbers")
    .into()
}

/// An error of the server itself: logged here, and reported without its details.
pub(crate) fn internal(message: &str) -> Refusal {
    tracing::error!(error = message, "request failed");
    Problem::new(
        500,
        "internal",
        "The server failed",
        "the request failed because of an error in the server; see its log",
    )
    .into()
}

/// The response for an unknown path.
pub(crate) async fn no_route(uri: Uri) -> Refusal {
    Problem::new(
        404,
        "unknown-path",
        "There is no such path",
        format!("no operation has the path {}", uri.path()),
    )
    .value(uri.path())
    .hint("/docs lists all operations")
    .into()
}

/// The response for a path with another method.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Problem::new(
        405,
        "wrong-method",
        "The method is not allowed",
        format!("{} does not support {method}", uri.path()),
    )
    .value(method.as_str())
    .hint("the Allow header lists the supported methods")
    .into()
}

/// Turns the framework's own error texts, such as for a path that is not UTF-8, into problem documents.
pub(crate) async fn reworded(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_text = media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if !is_error || !is_text {
        return response;
    }
    let text = match axum::body::to_bytes(response.into_body(), REWORDED_BYTES).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    let title = status.canonical_reason().unwrap_or("The request was refused");
    Refusal::from(Problem::new(status.as_u16(), "refused", title, text)).into_response()
}

/// The response after a panic in a handler; the server keeps running.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a message");
    internal(text).into_response()
}
