//! The description of the interface, for programs.

use crate::state::App;
use axum::{Json, extract::State};
use utoipa::openapi::OpenApi;

/// This description, as an OpenAPI 3.1 document
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Server",
    responses((status = 200, body = Object, description = "The document."))
)]
pub(crate) async fn document(State(app): State<App>) -> Json<OpenApi> {
    Json((*app.openapi).clone())
}
