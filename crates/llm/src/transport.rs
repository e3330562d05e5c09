//! The HTTP service below async-openai: sends one request and keeps the provider's error.
//!
//! The library's retries know only one form of `Retry-After`, and its error handling loses statuses and headers. This
//! replaces both: an unusable response becomes a [`Failure`], which passes through the library boxed.

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

/// How much of an error response is read.
const ERROR_BODY_LIMIT: u64 = 64 << 10;

/// Sends one request; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) client: reqwest::Client,
    /// Whether requests carry a key.
    pub(crate) keyed: bool,
    /// Whether answers are streamed.
    pub(crate) stream: bool,
    /// From sending until the response's headers; without streaming they come with the answer.
    pub(crate) header_timeout: Option<Duration>,
    /// The largest answer.
    pub(crate) max_answer_bytes: u64,
    /// The longest line or event of a stream.
    pub(crate) max_line_bytes: usize,
    /// The failure that broke this attempt's stream; the library reports only "error decoding response body".
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
            // Without a key the library sends an empty bearer token, which some servers reject.
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
            // The server does not stream: pass its answer on as the only event of a stream.
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

    /// The body as JSON. It is parsed here because the library logs whole bodies that it can't read.
    async fn document(&self, response: reqwest::Response) -> Result<serde_json::Value, Failure> {
        let body = read(response, self.max_answer_bytes).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::accepted(FailureKind::Garbage(format!("not JSON: {error}"))))
    }

    /// The response with a bounded body of complete events, which keeps the error of its stream.
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

/// The chunks of the body, up to a limit.
fn pieces(
    response: reqwest::Response,
    limit: u64,
) -> impl stream::Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    let mut left = limit;
    response.bytes_stream().map(move |piece| {
        let cut = |error| Failure::accepted(FailureKind::Truncated(failure::root_cause(&error)));
        let piece = piece.map_err(cut)?;
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            let detail = format!("it is longer than calls.answer_bytes = {limit}");
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
