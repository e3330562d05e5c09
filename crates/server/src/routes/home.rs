//! The pages for people. They are no part of the described interface.

use super::runs::{filter, list_query};
use crate::{docs, pages, problem::Refusal, state::App};
use axum::{
    extract::{Request, State},
    http::{Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use engine::view::RunDetail;
use utoipa_axum::router::OpenApiRouter;

/// Events that a run's page shows.
const NEWS: u32 = 30;

pub(crate) fn pages() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/", get(home))
        .route("/docs", get(docs_page))
        .route("/assets/style.css", get(style))
        .route("/assets/live.js", get(script))
}

async fn home(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    runs(&app, request.uri()).await
}

/// The page of runs.
pub(crate) async fn runs(app: &App, uri: &Uri) -> Result<Response, Refusal> {
    let query = list_query(uri)?;
    let filter = filter(app, &query).await?;
    let page = app.engine.views().runs(filter).await?;
    Ok(pages::html(pages::runs(&page, filter.state)))
}

/// The page of a run.
pub(crate) async fn run(app: &App, detail: RunDetail) -> Result<Response, Refusal> {
    let views = app.engine.views();
    let run = detail.summary.id;
    let tasks = views.tasks(run).await?;
    let merges = views.merges(run).await?;
    let from = (detail.last_event - i64::from(NEWS)).max(0);
    let events = views
        .events(run, from, NEWS)
        .await?
        .map(|page| page.events)
        .unwrap_or_default();
    Ok(pages::html(pages::run(&detail, &tasks, &merges, &events)))
}

async fn docs_page(State(app): State<App>) -> Result<Response, Refusal> {
    let document = serde_json::to_value(&*app.openapi).map_err(|error| crate::problem::internal(&error.to_string()))?;
    Ok(pages::html(docs::page(&document)))
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", pages::STYLE)
}

async fn script() -> Response {
    asset("text/javascript; charset=utf-8", pages::SCRIPT)
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}
