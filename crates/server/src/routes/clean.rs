//! Deleting data of finished runs.

use crate::{
    body,
    problem::{self, Refusal},
    state::App,
};
use api::{CLEAN_DAYS, CleanRequest, CleanResult, CleanedCache, CleanedRun, DiskArea, Problem};
use axum::{
    Json,
    extract::{Request, State},
};
use engine::{Area, CleanMode, RetentionError};
use std::time::Duration;

/// Delete data of finished runs
///
/// Deletes trees and outputs of runs that ended long enough ago, then as much more as the data directory needs to stay
/// within `retention.bytes`. Unfinished runs and delivered branches are not touched. Repeating the request is safe; the
/// server finishes it even if the client disconnects.
#[utoipa::path(
    post,
    path = "/clean",
    tag = "Server",
    request_body = CleanRequest,
    responses(
        (status = 200, body = CleanResult, description = "What was deleted, or would be."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The body is not JSON."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Another process is cleaning up."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A field or a value can't be used.")
    )
)]
pub(crate) async fn clean(State(app): State<App>, request: Request) -> Result<Json<CleanResult>, Refusal> {
    let asked: CleanRequest = body::json(request, app.settings.body_bytes, &app.settings).await?;
    if let Some(days) = asked.older_than_days.filter(|days| *days > CLEAN_DAYS) {
        return Err(Problem::new(
            422,
            "invalid-value",
            "A value can't be used",
            format!("nothing is kept for more than {CLEAN_DAYS} days"),
        )
        .field("older_than_days")
        .value(days)
        .hint(format!(
            "give a number from 0 to {CLEAN_DAYS}, or leave it out for retention.days"
        ))
        .into());
    }
    let older_than = asked
        .older_than_days
        .map(|days| Duration::from_secs(u64::from(days) * 86_400));
    let mode = match asked.dry_run {
        true => CleanMode::DryRun,
        false => CleanMode::Remove,
    };
    let cleaned = app.engine.clean_now(older_than, mode).await?;
    Ok(Json(result(cleaned, asked.dry_run)))
}

fn result(cleaned: engine::Cleaned, dry_run: bool) -> CleanResult {
    let runs = cleaned.runs.into_iter().map(|line| CleanedRun {
        run: line.run,
        ended_at: line.ended_at,
        trees: line.trees,
        references: line.references,
        hub_bytes: line.hub_bytes,
        output_bytes: line.output_bytes,
    });
    let caches = cleaned.caches.into_iter().map(|cache| CleanedCache {
        name: cache.name,
        bytes: cache.bytes,
    });
    CleanResult {
        dry_run,
        runs: runs.collect(),
        caches: caches.collect(),
        references: cleaned.references,
        objects: cleaned.objects,
        freed: cleaned.freed.into_iter().map(area).collect(),
        pending_bytes: cleaned.later_bytes,
    }
}

/// A part of the data directory in the API's type.
pub(crate) fn area((area, bytes): (Area, u64)) -> DiskArea {
    DiskArea {
        area: area.as_str().to_owned(),
        bytes,
    }
}

impl From<RetentionError> for Refusal {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::Held => Problem::new(
                409,
                "held",
                "Another process is cleaning up",
                "another process that uses this database is deleting data of finished runs",
            )
            .hint("try again when it is done")
            .into(),
            RetentionError::Store(error) if error.is_transient() => {
                Problem::new(503, "database", "The database can't be asked", error.to_string())
                    .hint("try again in a moment; the clean-up continues where it stopped")
                    .into()
            }
            error @ (RetentionError::Store(_) | RetentionError::Git(_)) => problem::internal(&error.to_string()),
        }
    }
}
