//! Events of requests to the product's API.

use crate::catalogue::http::{CLOSED, CONNECTIONS, DURATION, ERRORS, REQUESTS, SIZE, STREAMS};
use std::time::Duration;

/// Responses from this status on count as errors.
const FIRST_ERROR_STATUS: u16 = 400;

/// A request was answered. `endpoint` is the matched route, never the raw path; `unmatched` if there was none.
pub fn request(method: &str, endpoint: &str, status: u16, duration: Duration, request_bytes: u64) {
    let code = status.to_string();
    REQUESTS.add(1, [method, endpoint, &code]);
    if status >= FIRST_ERROR_STATUS {
        ERRORS.add(1, [method, endpoint, &code]);
    }
    DURATION.observe(duration, [method, endpoint]);
    SIZE.observe_value(request_bytes as f64, [method, endpoint]);
}

/// An open connection, until this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct ConnectionOpen(());

/// A connection was accepted.
pub fn connection_opened() -> ConnectionOpen {
    CONNECTIONS.change(1, []);
    ConnectionOpen(())
}

impl Drop for ConnectionOpen {
    fn drop(&mut self) {
        CONNECTIONS.change(-1, []);
    }
}

/// Why the server closed a connection before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Closed for a new connection.
    Evicted,
    /// All slots were in use, and none could be freed.
    Refused,
    /// The head of a request took too long.
    HeaderTimeout,
    /// Too long without a request.
    IdleTimeout,
    /// The peer read nothing of a response for too long.
    Stalled,
}

/// A connection was closed early.
pub fn connection_closed(reason: Closed) {
    let reason = match reason {
        Closed::Evicted => "evicted",
        Closed::Refused => "refused",
        Closed::HeaderTimeout => "header_timeout",
        Closed::IdleTimeout => "idle_timeout",
        Closed::Stalled => "stalled",
    };
    CLOSED.add(1, [reason]);
}

/// An open event stream, until this is dropped.
#[derive(Debug)]
#[must_use = "the stream counts as closed when this is dropped"]
pub struct StreamOpen(());

/// A client follows events.
pub fn stream_opened() -> StreamOpen {
    STREAMS.change(1, []);
    StreamOpen(())
}

impl Drop for StreamOpen {
    fn drop(&mut self) {
        STREAMS.change(-1, []);
    }
}
