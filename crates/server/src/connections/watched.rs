//! Streams and bodies that report the phase of their connection.

use super::registry::{Open, Phase};
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection's stream.
#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    open: Arc<Open>,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, open: Arc<Open>) -> Self {
        Self { stream, open }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            // Only the first byte of a request restarts the time limit.
            self.open.leave(Phase::Idle, Phase::Head);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.open.stalled(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.open.stalled(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body; when it is dropped, the connection enters the next phase.
struct WatchedBody<B> {
    body: B,
    open: Arc<Open>,
    from: Phase,
    to: Phase,
}

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        self.open.leave(self.from, self.to);
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) && self.from == Phase::Body {
            self.open.leave(self.from, self.to);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request; its phase starts here.
pub(super) fn request_body(body: hyper::body::Incoming, open: &Arc<Open>) -> Body {
    if body.is_end_stream() {
        open.enter(Phase::Answer);
        return Body::empty();
    }
    open.enter(Phase::Body);
    Body::new(WatchedBody {
        body,
        open: open.clone(),
        from: Phase::Body,
        to: Phase::Answer,
    })
}

/// The body of a response; when it ends, the connection is idle.
pub(super) fn answer_body(body: Body, open: &Arc<Open>) -> Body {
    open.enter(Phase::Answer);
    Body::new(WatchedBody {
        body,
        open: open.clone(),
        from: Phase::Answer,
        to: Phase::Idle,
    })
}
