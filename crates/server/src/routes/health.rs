//! Whether the server is there, and whether it can work.

use crate::app::App;
use api::{Health, Readiness};
use axum::{Json, extract::State, http::StatusCode};

/// Is the server there
///
/// Answers without asking anybody else, and without a token.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Server",
    responses((status = 200, body = Health, description = "It is."))
)]
pub(crate) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        version: app.settings.version.clone(),
    })
}

/// Can the server work
///
/// Whether the database answers, what workers run in, and whether the server is being stopped.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Server",
    responses(
        (status = 200, body = Readiness, description = "It can."),
        (status = 503, body = Readiness, description = "It can't.")
    )
)]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let found = app.engine.ready().await;
    let ready = found.database && !found.draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        ready,
        database: found.database,
        sandbox: found.sandbox,
        draining: found.draining,
        data_dir: found.data_dir.display().to_string(),
        disk_free_bytes: found.disk.free_bytes,
        disk_floor_bytes: found.disk.floor_bytes,
    };
    (status, Json(readiness))
}
