//! Request bodies, limited in bytes and time, as JSON or as form fields.

use crate::{problem::Refusal, settings::Settings};
use api::Problem;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes beyond the limit that are read and dropped before the response.
const DROPPED_BYTES: usize = 16 << 20;
/// The most fields of a form.
const FIELDS: usize = 10_000;

/// The JSON body of a request.
pub(crate) async fn json<T: DeserializeOwned + Serialize>(
    request: Request,
    limit: usize,
    settings: &Settings,
) -> Result<T, Refusal> {
    let media_type = media_type(request.headers());
    if media_type != "application/json" && !media_type.ends_with("+json") {
        return Err(
            Problem::new(415, "not-json", "The body must be JSON", "the content type is not JSON")
                .field("Content-Type")
                .value(media_type)
                .hint("send the header Content-Type: application/json")
                .into(),
        );
    }
    let bytes = read(request, limit, settings).await?;
    Ok(api::parse(&bytes)?)
}

/// Whether the body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/x-www-form-urlencoded"
}

/// The fields of a form, in order.
pub(crate) async fn form(
    request: Request,
    limit: usize,
    settings: &Settings,
) -> Result<Vec<(String, String)>, Refusal> {
    let bytes = read(request, limit, settings).await?;
    let fields = form_urlencoded::parse(&bytes).take(FIELDS);
    Ok(fields
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect())
}

/// The media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

async fn read(request: Request, limit: usize, settings: &Settings) -> Result<Vec<u8>, Refusal> {
    match tokio::time::timeout(settings.body_within, pieces(request.into_body(), limit)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(Problem::new(
            413,
            "too-large",
            "The body is too large",
            format!("a body may have at most {limit} bytes"),
        )
        .hint("put large texts into the repository and mention them in the objective")
        .into()),
        Ok(Err(error)) => Err(Problem::new(400, "broken-body", "The body is incomplete", error.to_string()).into()),
        Err(_) => Err(Problem::new(
            408,
            "slow-body",
            "The body did not arrive in time",
            format!(
                "it did not arrive within {} seconds (server.body_timeout_s)",
                settings.body_within.as_secs()
            ),
        )
        .hint("send the body without pauses, or raise server.body_timeout_s")
        .into()),
    }
}

/// Reads a body; `None` if it is too large. Some of the excess is read and dropped, because a client whose connection is
/// closed while it still sends would not read the response.
async fn pieces(body: Body, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        length = length.saturating_add(piece.len());
        if length > limit.saturating_add(DROPPED_BYTES) {
            break;
        }
        if length <= limit {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok((length <= limit).then_some(bytes))
}
