//! The merges of a run.

use crate::{convert, problem::Refusal, state::App};
use api::{MergeList, Problem};
use axum::{
    Json,
    extract::{Path, State},
};

/// List the merges of a run
///
/// In the order they were queued, each with its conflicts, the decisions about them, and the gate's report.
#[utoipa::path(
    get,
    path = "/runs/{id}/merges",
    operation_id = "list_merges",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    responses(
        (status = 200, body = MergeList, description = "The merges."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn list(State(app): State<App>, Path(id): Path<String>) -> Result<Json<MergeList>, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    let merges = app.engine.views().merges(run).await?;
    Ok(Json(MergeList {
        merges: merges.into_iter().map(convert::merge).collect(),
    }))
}
