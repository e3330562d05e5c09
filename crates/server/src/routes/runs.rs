//! Runs: submit, list, show, cancel, deliver.

use crate::{
    body, convert, pages,
    problem::{self, Refusal},
    settings::Settings,
    state::App,
};
use api::{Accepted, COST_DOLLARS, DeliverRequest, NewRun, Problem, Run, RunPage};
use axum::{
    Json,
    body::HttpBody as _,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{NanoDollars, RunId, run::RunState};
use engine::{LimitOverrides, ModelRef, view::RunFilter};
use serde::Deserialize;
use std::path::PathBuf;
use utoipa::IntoParams;

/// Entries of a page: by default, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 200;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which runs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only runs in this state: `planning`, `running`, `delivering`, `complete`, `failed`, `cancelled`.
    pub(crate) state: Option<String>,
    /// Only runs submitted before this one: the `next` of the previous page.
    pub(crate) before: Option<String>,
    /// The most runs to return, up to 200; 50 by default.
    pub(crate) limit: Option<u32>,
}

/// Submit a run
///
/// The run starts at once. A repeated request with the same `Idempotency-Key` returns the first run.
#[utoipa::path(
    post,
    path = "/runs",
    tag = "Runs",
    params(("Idempotency-Key" = Option<String>, Header, description = "A text that the caller chooses, such as a UUID.")),
    request_body = NewRun,
    responses(
        (status = 201, body = Accepted, description = "The run was created.", headers(("Location", description = "The path of the run."))),
        (status = 200, body = Accepted, description = "An earlier request with this key created it."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is not JSON."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The workspace or a model can't be used at present, or the key belongs to another request."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field or a value can't be used.")
    )
)]
pub(crate) async fn submit(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let idempotency_key = idempotency_key(request.headers())?;
    let new: NewRun = body::json(request, app.settings.body_bytes, &app.settings).await?;
    let submitted = app.engine.submit(asked(new, idempotency_key)?).await?;
    let status = if submitted.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/runs/{}", submitted.id);
    let accepted = accepted(submitted.id, submitted.state);
    Ok((status, [(header::LOCATION, location)], Json(accepted)).into_response())
}

/// List runs
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/runs",
    tag = "Runs",
    params(ListQuery),
    responses(
        (status = 200, body = RunPage, description = "The runs, and where the next page starts."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "The run `before` does not exist."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    if pages::wanted(request.headers()) {
        return super::home::runs(&app, request.uri()).await;
    }
    let query = list_query(request.uri())?;
    let page = app.engine.views().runs(filter(&app, &query).await?).await?;
    let runs = page.runs.into_iter().map(convert::summary).collect();
    Ok(Json(RunPage { runs, next: page.next }).into_response())
}

/// Show a run
///
/// A browser gets a page that follows the run.
#[utoipa::path(
    get,
    path = "/runs/{id}",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    responses(
        (status = 200, body = Run, description = "The run."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    let detail = app
        .engine
        .views()
        .run(run)
        .await?
        .ok_or_else(|| problem::unknown_run(&id))?;
    if pages::wanted(&headers) {
        return super::home::run(&app, detail).await;
    }
    Ok(Json(convert::run(detail)).into_response())
}

/// Cancel a run
///
/// Stops its workers. Nothing more lands, except work whose landing has started. Landed work stays.
#[utoipa::path(
    post,
    path = "/runs/{id}/cancel",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    responses(
        (status = 202, body = Accepted, description = "The run is cancelled."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The run can no longer be cancelled.")
    )
)]
pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    app.engine.cancel(run).await?;
    accepted_response(&app, run, &id).await
}

/// Deliver a run's branch again
///
/// Retries the delivery of a run that failed at it, or repeats the delivery of a complete run. A step that is already
/// done has the result `already`. The run's `delivery` shows the result of each step.
#[utoipa::path(
    post,
    path = "/runs/{id}/deliver",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    request_body(content = Option<DeliverRequest>, description = "Optional; without it, no consent is given."),
    responses(
        (status = 202, body = Accepted, description = "The delivery has started."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is not JSON."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Not all work of the run has landed."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field or a value can't be used.")
    )
)]
pub(crate) async fn deliver(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = deliver_request(request, &app.settings).await?;
    let run = app.engine.views().find_run(&id).await?;
    app.engine.deliver(run, asked.allow_integrity_flags).await?;
    accepted_response(&app, run, &id).await
}

/// The body of a request to deliver; empty means the defaults.
async fn deliver_request(request: Request, settings: &Settings) -> Result<DeliverRequest, Refusal> {
    match request.body().is_end_stream() {
        true => Ok(DeliverRequest::default()),
        // `null` also means the defaults.
        false => {
            let asked: Option<DeliverRequest> = body::json(request, settings.body_bytes, settings).await?;
            Ok(asked.unwrap_or_default())
        }
    }
}

/// 202 with the run's state; `asked` is the id as the caller wrote it.
async fn accepted_response(app: &App, run: RunId, asked: &str) -> Result<Response, Refusal> {
    let summary = app.engine.views().run_summary(run).await?;
    let state = summary.ok_or_else(|| problem::unknown_run(asked))?.state;
    Ok((StatusCode::ACCEPTED, Json(accepted(run, state))).into_response())
}

fn accepted(id: RunId, state: RunState) -> Accepted {
    Accepted {
        short: id.short(),
        id,
        state,
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().filter(|key| !key.contains('\t')),
        (Some(_), Some(_)) => None,
    };
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(invalid(
            "Idempotency-Key",
            "",
            "the key must be a single header of visible ASCII characters",
            "use a UUID",
        )),
    }
}

/// The request in the engine's types.
fn asked(new: NewRun, idempotency_key: Option<String>) -> Result<engine::NewRun, Refusal> {
    let config = new.orch_config;
    let cost = match config.max_cost_dollars {
        Some(dollars) => Some(
            NanoDollars::from_dollars(dollars)
                .filter(|_| dollars <= COST_DOLLARS)
                .ok_or_else(|| {
                    invalid(
                        "orch_config.max_cost_dollars",
                        &dollars.to_string(),
                        "the limit is not an amount of dollars",
                        "give a number of at least 0, such as 5 or 0.25",
                    )
                })?,
        ),
        None => None,
    };
    let model = |choice: api::ModelChoice| ModelRef {
        provider: choice.provider,
        model: choice.model_name,
    };
    Ok(engine::NewRun {
        objective: new.objective,
        workspace: PathBuf::from(new.workspace_path),
        initialise: new.initialise,
        director: config.director_model.map(model),
        worker: config.worker_model.map(model),
        check: config.check,
        limits: LimitOverrides {
            cost,
            active_tasks: config.limits.active_tasks,
            tasks: config.limits.tasks,
            failures: config.limits.failures,
            turns: config.limits.turns,
            run_s: config.limits.run_s,
            gate_s: config.limits.gate_s,
        },
        idempotency_key,
        allow_integrity_flags: config.allow_integrity_flags,
    })
}

pub(crate) fn list_query(uri: &axum::http::Uri) -> Result<ListQuery, Refusal> {
    let query = Query::<ListQuery>::try_from_uri(uri).map_err(|error| {
        invalid(
            "query",
            uri.query().unwrap_or_default(),
            &error.body_text(),
            "expected one of: state, before, limit",
        )
    })?;
    Ok(query.0)
}

pub(crate) async fn filter(app: &App, query: &ListQuery) -> Result<RunFilter, Refusal> {
    let state = match query.state.as_deref() {
        Some(text) => Some(RunState::parse(text).ok_or_else(|| {
            let known = RunState::ALL.map(RunState::as_str).join(", ");
            invalid(
                "state",
                text,
                "there is no such state of a run",
                &format!("expected one of: {known}"),
            )
        })?),
        None => None,
    };
    let before = match &query.before {
        Some(text) => Some(app.engine.views().find_run(text).await?),
        None => None,
    };
    Ok(RunFilter {
        state,
        before,
        limit: page(query.limit)?,
    })
}

/// The size of a page.
pub(crate) fn page(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=LONGEST_PAGE => Ok(limit),
        limit => Err(invalid(
            "limit",
            &limit.to_string(),
            "a page has 1 to 200 lines",
            "ask for fewer, and for the next page with before",
        )),
    }
}

fn invalid(field: &str, value: &str, message: &str, hint: &str) -> Refusal {
    Problem::new(
        if matches!(field, "query" | "state" | "limit") {
            400
        } else {
            422
        },
        "invalid-value",
        "A value can't be used",
        message,
    )
    .field(field)
    .value(value)
    .hint(hint)
    .into()
}
