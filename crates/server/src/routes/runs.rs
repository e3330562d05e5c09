//! Runs: submitting, listing, showing, cancelling.

use crate::{
    body, convert, pages,
    problem::{self, Refusal},
    settings::Settings,
    state::App,
};
use api::{Accepted, COST_DOLLARS, DeliverAsked, NewRun, Problem, Run, RunPage};
use axum::{
    Json,
    body::HttpBody as _,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{NanoDollars, RunId, run::RunState};
use engine::{LimitsAsked, ModelRef, view::RunFilter};
use serde::Deserialize;
use std::path::PathBuf;
use utoipa::IntoParams;

/// Lines on one page of a list where the request names no number, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 200;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which runs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only runs that stand there: `planning`, `running`, `delivering`, `complete`, `failed`, `cancelled`.
    pub(crate) state: Option<String>,
    /// Only runs submitted before this one: the `next` of the page before.
    pub(crate) before: Option<String>,
    /// At most so many, up to 200.
    pub(crate) limit: Option<u32>,
}

/// Submit a run
///
/// The run begins at once. Under the same `Idempotency-Key` a repeat of the same request returns the first run.
#[utoipa::path(
    post,
    path = "/runs",
    tag = "Runs",
    params(("Idempotency-Key" = Option<String>, Header, description = "A text of the caller's own, such as a UUID.")),
    request_body = NewRun,
    responses(
        (status = 201, body = Accepted, description = "The run was made.", headers(("Location", description = "Where the run is."))),
        (status = 200, body = Accepted, description = "An earlier request under this key had made it."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is not JSON."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The workspace or a model can't be used as things stand, or the key belongs to another request."),
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
        (status = 200, body = RunPage, description = "The runs, and where the next page begins."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no run `before`."),
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
/// To a browser this is a page that follows the run.
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
/// Its workers are stopped and nothing more lands, except work whose landing had begun. What has landed stays.
#[utoipa::path(
    post,
    path = "/runs/{id}/cancel",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    responses(
        (status = 202, body = Accepted, description = "The run is cancelled."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The run is past being cancelled.")
    )
)]
pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    app.engine.cancel(run).await?;
    taken_up(&app, run, &id).await
}

/// Deliver a run's work again
///
/// A run that failed because its work could not be handed over goes on with that; a complete one is handed over once
/// more. Each step looks first whether it is done: then it says `already`. `delivery` of the run tells what came of it.
#[utoipa::path(
    post,
    path = "/runs/{id}/deliver",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    request_body(content = Option<DeliverAsked>, description = "May be left out: then no more consent is given."),
    responses(
        (status = 202, body = Accepted, description = "The work is being handed over."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is not JSON."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Not everything of the run has landed."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field or a value can't be used.")
    )
)]
pub(crate) async fn deliver(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = deliver_asked(request, &app.settings).await?;
    let run = app.engine.views().find_run(&id).await?;
    app.engine.deliver(run, asked.allow_integrity_flags).await?;
    taken_up(&app, run, &id).await
}

/// The body of a request to deliver; none asks for nothing.
async fn deliver_asked(request: Request, settings: &Settings) -> Result<DeliverAsked, Refusal> {
    match request.body().is_end_stream() {
        true => Ok(DeliverAsked::default()),
        // `null` is a body as well, and asks for nothing.
        false => {
            let asked: Option<DeliverAsked> = body::json(request, settings.body_bytes, settings).await?;
            Ok(asked.unwrap_or_default())
        }
    }
}

/// 202, with where the run stands now; `asked` is how the caller named it.
async fn taken_up(app: &App, run: RunId, asked: &str) -> Result<Response, Refusal> {
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
            "the key is not one text of visible ASCII",
            "use a UUID",
        )),
    }
}

/// The request as the engine takes it.
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
                        "the cap is not an amount of dollars",
                        "give a number from 0 up, such as 5 or 0.25",
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
        limits: LimitsAsked {
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
            "known are: state, before, limit",
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
                &format!("known are: {known}"),
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

/// How much of a list is asked for.
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
