//! The tasks of a run.

use crate::{
    convert,
    problem::{self, Refusal},
    state::App,
};
use api::{Problem, TaskDetail, TaskList};
use axum::{
    Json,
    extract::{Path, State},
};
use domain::TaskKey;

/// The most characters of a tool's text in a transcript.
const TEXT: u32 = 64 << 10;

/// List the tasks of a run
///
/// In the order of the plan, each with what it is doing, waiting for or came to.
#[utoipa::path(
    get,
    path = "/runs/{id}/tasks",
    operation_id = "list_tasks",
    tag = "Runs",
    params(("id" = String, Path, description = "The run's id, or its last eight digits.")),
    responses(
        (status = 200, body = TaskList, description = "The tasks; empty until there is a plan."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn list(State(app): State<App>, Path(id): Path<String>) -> Result<Json<TaskList>, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    let tasks = app.engine.views().tasks(run).await?;
    Ok(Json(TaskList {
        tasks: tasks.into_iter().map(convert::task).collect(),
    }))
}

/// Show a task
///
/// With the transcript of its attempts. Long texts of tools are truncated.
#[utoipa::path(
    get,
    path = "/runs/{id}/tasks/{key}",
    operation_id = "show_task",
    tag = "Runs",
    params(
        ("id" = String, Path, description = "The run's id, or its last eight digits."),
        ("key" = String, Path, description = "The task's key.")
    ),
    responses(
        (status = 200, body = TaskDetail, description = "The task."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run or task."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<TaskDetail>, Refusal> {
    let run = app.engine.views().find_run(&id).await?;
    let named = TaskKey(key.clone());
    // The database holds no NUL, so no name of a task does.
    let detail = match key.contains('\0') {
        true => None,
        false => app.engine.views().task(run, &named, TEXT).await?,
    };
    let detail = detail.ok_or_else(|| {
        problem::Refusal::from(
            Problem::new(
                404,
                "unknown-task",
                "There is no such task",
                format!("run {run} has no task {key}"),
            )
            .field("key")
            .value(key)
            .hint(format!("GET /runs/{run}/tasks lists them")),
        )
    })?;
    Ok(Json(convert::task_detail(detail)))
}
