//! The service under async-openai: one HTTP request, with the provider's own words when it fails.
//!
//! The library's own retries know one form of `Retry-After`, and its error handling loses statuses and headers, so
//! both are replaced here: whatever is not a usable response becomes a [`Failure`], which travels through the
//! library boxed.

use crate::{
    error::TimeoutKind,
    events::Events,
    failure::{self, Failure, FailureKind},
};
use async_openai::middleware::HttpRequestFactory;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use std::{
    io,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

/// Bytes of an error response that are read.
const ERROR_BODY_LIMIT: u64 = 64 << 10;

/// One request at a time; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) client: reqwest::Client,
    /// Whether requests carry a key.
    pub(crate) keyed: bool,
    /// Whether answers are streamed.
    pub(crate) stream: bool,
    /// From sending until the response's headers; without streaming they come with the answer.
    pub(crate) header_timeout: Option<Duration>,
    /// Bytes of an answer that are read.
    pub(crate) max_answer_bytes: u64,
    /// Bytes of a line or an event of a stream that are read.
    pub(crate) max_line_bytes: usize,
    /// Why the stream of this attempt broke, which the library reduces to "error decoding response body".
    pub(crate) broken: Arc<OnceLock<Failure>>,
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = reqwest::Response;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<reqwest::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move { transport.send(request).await })
    }
}

impl Transport {
    async fn send(self, request: HttpRequestFactory) -> Result<reqwest::Response, Failure> {
        let mut request = request.build().await.map_err(Failure::from)?;
        if !self.keyed {
            // The library sends an empty bearer token then, which some servers refuse.
            request.headers_mut().remove(AUTHORIZATION);
        }
        let sending = self.client.execute(request);
        let response = match self.header_timeout {
            Some(limit) => tokio::time::timeout(limit, sending).await.map_err(|_| {
                Failure::accepted(FailureKind::Timeout {
                    kind: TimeoutKind::Header,
                    after: limit,
                })
            })?,
            None => sending.await,
        }
        .map_err(failure::of_transport)?;
        let status = response.status();
        if !status.is_success() {
            let headers = response.headers().clone();
            let body = read(response, ERROR_BODY_LIMIT).await.unwrap_or_default();
            return Err(Failure::of_response(status, &headers, &String::from_utf8_lossy(&body)));
        }
        self.accept(response).await
    }

    async fn accept(&self, response: reqwest::Response) -> Result<reqwest::Response, Failure> {
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("json"));
        match (self.stream, is_json) {
            (true, false) => Ok(self.watched(response)),
            // A server that does not stream: its answer as the only event of a stream.
            (true, true) => {
                let document = self.document(response).await?;
                let mut event = BytesMut::from("data: ");
                event.extend_from_slice(document.to_string().as_bytes());
                event.extend_from_slice(b"\n\n");
                Ok(whole(event.freeze()))
            }
            (false, _) => Ok(whole(Bytes::from(self.document(response).await?.to_string()))),
        }
    }

    /// The body as JSON. Parsed here, because the library logs whole bodies that it can't read.
    async fn document(&self, response: reqwest::Response) -> Result<serde_json::Value, Failure> {
        let body = read(response, self.max_answer_bytes).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::accepted(FailureKind::Garbage(format!("not JSON: {error}"))))
    }

    /// The response with a bounded body of whole events, whose error is kept.
    fn watched(&self, response: reqwest::Response) -> reqwest::Response {
        let broken = Arc::clone(&self.broken);
        let mut events = Events::new(self.max_line_bytes);
        let events = pieces(response, self.max_answer_bytes)
            .map(move |piece| piece.and_then(|piece| events.push(&piece)))
            .flat_map(|events| match events {
                Ok(events) => stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(failure) => stream::iter(vec![Err(failure)]),
            });
        let body = events.map_err(move |failure| {
            let error = io::Error::other(failure.to_string());
            broken.get_or_init(|| failure);
            error
        });
        http::Response::new(reqwest::Body::wrap_stream(body)).into()
    }
}

/// The body's pieces, up to a limit.
fn pieces(
    response: reqwest::Response,
    limit: u64,
) -> impl stream::Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    let mut left = limit;
    response.bytes_stream().map(move |piece| {
        let cut = |error| Failure::accepted(FailureKind::Truncated(failure::root_cause(&error)));
        let piece = piece.map_err(cut)?;
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            let detail = format!("it is longer than the limit of {limit} bytes, calls.answer_bytes");
            Failure::accepted(FailureKind::TooLong(detail))
        })?;
        Ok(piece)
    })
}

async fn read(response: reqwest::Response, limit: u64) -> Result<Bytes, Failure> {
    let body = pieces(response, limit)
        .try_fold(BytesMut::new(), async |mut body, piece| {
            body.extend_from_slice(&piece);
            Ok(body)
        })
        .await?;
    Ok(body.freeze())
}

fn whole(body: Bytes) -> reqwest::Response {
    http::Response::new(reqwest::Body::from(body)).into()
}
