//! Whether the server is there, and whether it can work.

use crate::state::App;
use api::{Health, Readiness, SandboxProperty};
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
/// Whether the database answers, what workers run in and what holds them back there, whether the server is being stopped, and what the disk has left.
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
    let lack = found.disk.lack();
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
        disk_bound_bytes: found.disk.bound_bytes,
        disk_areas: areas.into_iter().map(super::clean::area).collect(),
        disk_measured_at: measured_at,
        disk_lack: lack,
    };
    (status, Json(readiness))
}
