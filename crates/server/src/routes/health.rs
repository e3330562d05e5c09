//! Health and readiness of the server.

use crate::state::App;
use api::{Health, Readiness, SandboxProperty};
use axum::{Json, extract::State, http::StatusCode};

/// Check that the server runs
///
/// Needs no token, and does not access the database.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Server",
    responses((status = 200, body = Health, description = "The server runs."))
)]
pub(crate) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        version: app.settings.version.clone(),
    })
}

/// Check that the server is ready
///
/// Reports the database, the sandbox and its restrictions, the disk, and whether the server is stopping.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Server",
    responses(
        (status = 200, body = Readiness, description = "The server is ready."),
        (status = 503, body = Readiness, description = "The server is not ready.")
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
    let problem = found.disk.shortage();
    let measured_at = found.disk.used.as_ref().map(|used| used.at);
    let areas = found.disk.used.map(|used| used.areas).unwrap_or_default();
    let enforcement = found.enforcement.into_iter().map(|found| SandboxProperty {
        property: found.property.name().into(),
        state: found.state.name().into(),
        detail: found.detail,
        advice: found.advice,
    });
    let readiness = Readiness {
        ready,
        database: found.database,
        sandbox: found.sandbox,
        sandbox_enforcement: enforcement.collect(),
        draining: found.draining,
        unknown_effects: found.unknown_effects,
        data_dir: found.data_dir.display().to_string(),
        disk_free_bytes: found.disk.free_bytes,
        disk_floor_bytes: found.disk.floor_bytes,
        disk_limit_bytes: found.disk.bound_bytes,
        disk_areas: areas.into_iter().map(super::clean::area).collect(),
        disk_measured_at: measured_at,
        disk_problem: problem,
    };
    (status, Json(readiness))
}
