//! The loop that accepts connections, and the task of each.

use super::{
    book::{Admission, Book, Caps, Seat, Waits},
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

/// Headers of a request.
const HEADERS: usize = 64;
/// Bytes of a request's head, and of what is read ahead of a body.
const HEAD_BYTES: usize = 64 << 10;
/// How often connections are looked through for those that overstay.
const SWEEP: Duration = Duration::from_millis(500);
/// Connections that were closed early are reported so often at most.
const REPORT: Duration = Duration::from_secs(60);
/// The wait after the system refused a descriptor or memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long one that was asked to make way may take to be gone.
const EVICTION: Duration = Duration::from_millis(200);
/// Times that is waited for before the new one is refused.
const EVICTIONS: u32 = 5;

/// What a connection gets that has no place: a problem document like every other.
static FULL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let problem = Problem::new(
        503,
        "too-many-connections",
        "The server is busy",
        "a request is under way on every connection that the server may have",
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

/// Accepts connections until it is told to stop, then lets requests under way end.
pub(crate) async fn serve(listener: TcpListener, router: Router, caps: Caps, waits: Waits, stop: CancellationToken) {
    let book = Book::new(caps, waits);
    let tasks = TaskTracker::new();
    let sweeper = tokio::spawn(sweep(book.clone()));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                if let Some(seat) = seat(&book, &stream, peer).await {
                    tasks.spawn(attend(stream, seat, router.clone(), stop.clone()));
                }
            }
            Err(error) => failed(&book, &error).await,
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    sweeper.abort();
}

/// A place for a connection; without one it is told why.
async fn seat(book: &Arc<Book>, stream: &TcpStream, peer: SocketAddr) -> Option<Seat> {
    for _ in 0..EVICTIONS {
        match book.admit(peer.ip()) {
            Admission::Seat(seat) => return Some(seat),
            Admission::Evicting => book.one_left(EVICTION).await,
            Admission::Full => break,
        }
    }
    // Whoever does not take it at once goes without.
    drop(stream.try_write(&FULL));
    book.early.refused.fetch_add(1, Ordering::Relaxed);
    telemetry::http::connection_closed(Closed::Refused);
    None
}

/// A connection that was gone before it was accepted is nobody's trouble. Everything else means that the system has no
/// descriptor or memory left: one connection makes way, and there is a wait, so that the loop never spins.
async fn failed(book: &Book, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if book.early.refused.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(%error, "a connection could not be accepted; others are closed for it");
    }
    telemetry::http::connection_closed(Closed::Refused);
    book.make_way();
    tokio::time::sleep(BACK_OFF).await;
}

/// The task of one connection.
async fn attend(stream: TcpStream, seat: Seat, router: Router, stop: CancellationToken) {
    let open = &seat.open;
    // Messages of a stream go out as they come.
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
        // The book keeps this time, and that between requests.
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
                    tracing::debug!(%error, "a connection broke");
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

/// Closes what overstays, and reports bursts.
async fn sweep(book: Arc<Book>) -> Infallible {
    let mut reported: Option<Instant> = None;
    loop {
        tokio::time::sleep(SWEEP).await;
        book.sweep();
        if reported.is_none_or(|at| at.elapsed() >= REPORT) {
            let take = |count: &std::sync::atomic::AtomicU64| count.swap(0, Ordering::Relaxed);
            let early = &book.early;
            let (evicted, refused, overdue) = (take(&early.evicted), take(&early.refused), take(&early.overdue));
            if evicted + refused > 0 {
                tracing::warn!(
                    evicted,
                    refused,
                    overdue,
                    "more connections than the server may have: some were closed for others"
                );
                reported = Some(Instant::now());
            }
        }
    }
}
