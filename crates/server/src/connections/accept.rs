//! The loop that accepts connections, and the task of each.

use super::{
    caps::{Caps, Waits},
    registry::{Admission, Registry, Slot},
    watched::{WatchedStream, answer_body, request_body},
};
use api::Problem;
use axum::{Router, extract::Request, response::Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, LazyLock, atomic::Ordering},
    time::Duration,
};
use telemetry::http::Closed;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// The most headers of a request.
const HEADERS: usize = 64;
/// The most bytes of a request's header, and of the read buffer.
const HEAD_BYTES: usize = 64 << 10;
/// The interval of checks for connections that exceed a time limit.
const SWEEP: Duration = Duration::from_millis(500);
/// The shortest interval between two reports of early closed connections.
const REPORT: Duration = Duration::from_secs(60);
/// The wait after the system refused a descriptor or memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// The wait for an evicted connection to be gone.
const EVICTION: Duration = Duration::from_millis(200);
/// The most such waits before the new connection is refused.
const EVICTIONS: u32 = 5;

/// The response to a connection without a slot, a problem document.
static FULL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let problem = Problem::new(
        503,
        "too-many-connections",
        "The server is busy",
        "every connection within the server's limit has a request in progress",
    )
    .hint("try again in a moment, or raise server.connections and server.connections_per_address");
    let body = serde_json::to_string(&problem).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {}\r\nretry-after: 5\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        Problem::MEDIA_TYPE,
        body.len()
    )
    .into_bytes()
});

/// Accepts connections until `stop` is cancelled, then lets open requests finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, caps: Caps, waits: Waits, stop: CancellationToken) {
    let registry = Registry::new(caps, waits);
    let tasks = TaskTracker::new();
    let sweeper = tokio::spawn(sweep(registry.clone()));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                if let Some(slot) = slot(&registry, &stream, peer).await {
                    tasks.spawn(attend(stream, slot, router.clone(), stop.clone()));
                }
            }
            Err(error) => failed(&registry, &error).await,
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    sweeper.abort();
}

/// Finds a slot for a connection, or refuses it.
async fn slot(registry: &Arc<Registry>, stream: &TcpStream, peer: SocketAddr) -> Option<Slot> {
    for _ in 0..EVICTIONS {
        match registry.admit(peer.ip()) {
            Admission::Slot(slot) => return Some(slot),
            Admission::Evicting => registry.wait_for_close(EVICTION).await,
            Admission::Full => break,
        }
    }
    // Best effort: a client that can't take it at once gets no response.
    drop(stream.try_write(&FULL));
    registry.early.refused.fetch_add(1, Ordering::Relaxed);
    telemetry::http::connection_closed(Closed::Refused);
    None
}

/// Handles an error of `accept`. A connection that is already gone needs nothing. Any other error means that the system is
/// out of descriptors or memory: closes a connection, and waits so that the loop does not spin.
async fn failed(registry: &Registry, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if registry.early.refused.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(%error, "could not accept a connection; closing the one that waited longest");
    }
    telemetry::http::connection_closed(Closed::Refused);
    registry.evict_longest_waiting();
    tokio::time::sleep(BACK_OFF).await;
}

/// The task of one connection.
async fn attend(stream: TcpStream, slot: Slot, router: Router, stop: CancellationToken) {
    let open = &slot.open;
    // Sends each event at once.
    stream.set_nodelay(true).unwrap_or_default();
    let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let request: Request = request.map(|body| request_body(body, open));
        let answer = router.clone().oneshot(request);
        async move {
            answer
                .await
                .map(|answer: Response| answer.map(|body| answer_body(body, open)))
        }
    });
    let io = TokioIo::new(WatchedStream::new(stream, open.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The registry enforces this limit, and the one between requests.
        .header_read_timeout(None)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            () = open.close.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Closes connections that exceed a time limit, and reports early closed ones.
async fn sweep(registry: Arc<Registry>) -> Infallible {
    let mut reported: Option<Instant> = None;
    loop {
        tokio::time::sleep(SWEEP).await;
        registry.sweep();
        if reported.is_none_or(|at| at.elapsed() >= REPORT) {
            let take = |count: &std::sync::atomic::AtomicU64| count.swap(0, Ordering::Relaxed);
            let early = &registry.early;
            let (evicted, refused, overdue) = (take(&early.evicted), take(&early.refused), take(&early.overdue));
            if evicted + refused > 0 {
                tracing::warn!(
                    evicted,
                    refused,
                    overdue,
                    "limit of connections reached: closed some for others"
                );
                reported = Some(Instant::now());
            }
        }
    }
}
