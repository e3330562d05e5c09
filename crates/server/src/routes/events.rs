//! The event stream of a run.

use crate::{convert, problem::Refusal, state::App};
use api::{END_OF_EVENTS, Problem};
use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event as Message, KeepAlive, Sse},
    },
};
use domain::RunId;
use engine::view::{EventPage, LoggedEvent};
use futures_util::{Stream, stream};
use std::{collections::VecDeque, convert::Infallible};
use telemetry::http::StreamOpen;
use tokio::sync::OwnedSemaphorePermit;

/// Events read from the log at one time.
const PAGE: u32 = 200;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follow the events of a run
///
/// Server-sent events: the log from its start, then each event as it happens. A message's `id` is the number of the event,
/// its `event` the kind, its `data` an Event document. To continue after a lost connection, send the number of the last
/// event in the header `Last-Event-ID` or the parameter `after`. After the last event of a finished run, a message `end`
/// without an id closes the stream; a request after that event gets 204.
#[utoipa::path(
    get,
    path = "/runs/{id}/events",
    operation_id = "stream_events",
    tag = "Runs",
    params(
        ("id" = String, Path, description = "The run's id, or its last eight digits."),
        ("after" = Option<i64>, Query, description = "The number of the last event received."),
        ("Last-Event-ID" = Option<i64>, Header, description = "The same; takes precedence over `after`.")
    ),
    responses(
        (status = 200, body = api::Event, content_type = "text/event-stream", description = "The stream."),
        (status = 204, description = "The run has ended, and there are no later events."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such run."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Several runs end in these digits.")
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = after(&headers, query.as_deref())?;
    let run = app.engine.views().find_run(&id).await?;
    let first = read(&app, run, after).await?;
    if first.ended && first.events.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        let problem = Problem::new(
            503,
            "too-many-streams",
            "The server is busy",
            "the limit of open event streams (server.streams) is reached",
        );
        return Err(problem
            .hint("close some, poll GET /runs/{id} instead, or raise server.streams")
            .into());
    };
    let keep_alive = KeepAlive::new().interval(app.settings.heartbeat);
    let following = Following {
        app,
        run,
        after,
        ended: first.ended,
        waiting: first.events.into(),
        _permit: permit,
        _counted: telemetry::http::stream_opened(),
    };
    let response = Sse::new(messages(following)).keep_alive(keep_alive).into_response();
    // Stops proxies from buffering the stream.
    Ok(([("x-accel-buffering", "no")], response).into_response())
}

/// An open stream.
struct Following {
    app: App,
    run: RunId,
    after: i64,
    ended: bool,
    waiting: VecDeque<LoggedEvent>,
    _permit: OwnedSemaphorePermit,
    _counted: StreamOpen,
}

fn messages(following: Following) -> impl Stream<Item = Result<Message, Infallible>> {
    stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.next().await? {
            Some(event) => Some((Ok(message(event)), Some(following))),
            None => Some((Ok(Message::default().event(END_OF_EVENTS).data("{}")), None)),
        }
    })
}

impl Following {
    /// The next event; `Some(None)` when the run has ended, `None` when the stream stops early.
    async fn next(&mut self) -> Option<Option<LoggedEvent>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.after = event.seq;
                return Some(Some(event));
            }
            if self.ended {
                return Some(None);
            }
            tokio::select! {
                () = self.app.stop.cancelled() => return None,
                () = self.app.engine.changed(self.run, self.after) => {}
            }
            // The client reconnects after the last event it has received.
            let page = read(&self.app, self.run, self.after).await.ok()?;
            self.ended = page.ended;
            self.waiting = page.events.into();
        }
    }
}

async fn read(app: &App, run: RunId, after: i64) -> Result<EventPage, Refusal> {
    let page = app.engine.views().events(run, after, PAGE).await?;
    page.ok_or_else(|| crate::problem::unknown_run(&run.to_string()))
}

fn message(event: LoggedEvent) -> Message {
    let (id, kind) = (event.seq.to_string(), event.kind.clone());
    // These types always serialize, and JSON holds no line break.
    let data = serde_json::to_string(&convert::event(event)).unwrap_or_default();
    Message::default().id(id).event(kind).data(data)
}

/// The event after which to start. Browsers send the header when they reconnect.
fn after(headers: &HeaderMap, query: Option<&str>) -> Result<i64, Refusal> {
    let header = headers
        .get(LAST_EVENT_ID)
        .map(|value| ("Last-Event-ID", value.to_str().unwrap_or_default()));
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let parameter = parameters.find(|(name, _)| name == "after").map(|(_, value)| value);
    let Some((field, text)) = header.or_else(|| parameter.as_deref().map(|text| ("after", text))) else {
        return Ok(0);
    };
    match text.parse::<i64>() {
        Ok(after) if after >= 0 => Ok(after),
        Ok(_) | Err(_) => Err(Problem::new(
            400,
            "invalid-event-id",
            "This is not an event number",
            "events are numbered from 1",
        )
        .field(field)
        .value(text)
        .hint("give the number of the last event received, or leave it out to start at the first")
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn header_takes_precedence_over_parameter() {
        let mut headers = HeaderMap::new();
        assert_eq!(after(&headers, None).unwrap(), 0);
        assert_eq!(after(&headers, Some("x=1&after=3")).unwrap(), 3);
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("7"));
        assert_eq!(after(&headers, Some("after=3")).unwrap(), 7);
        for wrong in ["seven", "-1", ""] {
            headers.insert(LAST_EVENT_ID, HeaderValue::from_str(wrong).unwrap());
            assert_eq!(after(&headers, None).unwrap_err().0.status, 400, "{wrong}");
        }
    }
}
