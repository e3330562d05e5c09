//! Servers that never finish: what they send is bounded, read in linear time, and abandoned as soon as the call is dropped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use common::{Book, ask, settings};
use llm::{CallStatus, Error, Models};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const DOCUMENT: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";

/// A server on a bare socket. It sends `head`, then `piece` up to `times` times, then `end`. For each connection it reports
/// how many bytes it sent before the client closed or the end was reached.
async fn server(head: &str, piece: &str, times: usize, end: &str) -> (String, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (report, reports) = mpsc::unbounded_channel();
    let (head, piece, end) = (head.to_owned(), piece.to_owned(), end.to_owned());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (head, piece, end, report) = (head.clone(), piece.clone(), end.clone(), report.clone());
            tokio::spawn(async move {
                let sent = serve(socket, &head, &piece, times, &end).await;
                report.send(sent).ok();
            });
        }
    });
    (base_url, reports)
}

async fn serve(mut socket: TcpStream, head: &str, piece: &str, times: usize, end: &str) -> usize {
    let mut request = vec![0; 65_536];
    if socket.read(&mut request).await.is_err() || socket.write_all(head.as_bytes()).await.is_err() {
        return 0;
    }
    let mut sent = head.len();
    for _ in 0..times {
        if socket.write_all(piece.as_bytes()).await.is_err() {
            return sent;
        }
        sent += piece.len();
    }
    if socket.write_all(end.as_bytes()).await.is_ok() {
        sent += end.len();
        // Until the client has closed.
        while socket.read(&mut request).await.is_ok_and(|read| read > 0) {}
    }
    sent
}

async fn refusal(base_url: &str, change: impl Fn(&mut llm::Settings)) -> (Error, Book) {
    let mut settings = settings(base_url);
    // Long enough that the byte limits end the call, not these.
    settings.timeouts.total = Duration::from_secs(600);
    settings.timeouts.stream_idle = Duration::from_secs(300);
    settings.retries.total = Duration::from_secs(900);
    change(&mut settings);
    let book = Book::default();
    let error = ask(&Models::new(settings).unwrap(), &book).await.unwrap_err();
    (error, book)
}

fn finished() -> String {
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "hi" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1 } });
    format!("data: {chunk}\n\ndata: [DONE]\n\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn line_of_sixty_megabytes_is_rejected_and_not_retried() {
    let (base_url, mut reports) = server(STREAM, &"x".repeat(64 << 10), 960, "\n\n").await;
    let (error, book) = refusal(&base_url, |_| ()).await;
    let text = error.to_string();
    assert!(text.contains("calls.line_bytes = 4194304"), "{text}");
    assert!(matches!(error, Error::Garbage { attempts: 1, .. }), "{error:?}");
    // The provider accepted it, and may bill it.
    assert_eq!(book.outcome().status, CallStatus::Lost);
    let sent = reports.recv().await.unwrap();
    assert!(
        sent < 40 << 20,
        "{sent} bytes were taken before the connection was closed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_events_comments_and_documents_are_rejected() {
    for (head, piece, named) in [
        (
            STREAM,
            format!("data: {}\n", "x".repeat(1_000)).repeat(50),
            "calls.line_bytes",
        ),
        (STREAM, ": still here\n\n".repeat(1_000), "calls.answer_bytes"),
        (STREAM, ":\n".repeat(1_000), "calls.answer_bytes"),
        (DOCUMENT, "[".repeat(10_000), "calls.answer_bytes"),
        (DOCUMENT, " ".repeat(10_000), "calls.answer_bytes"),
    ] {
        let (base_url, mut reports) = server(head, &piece, 100_000, "").await;
        let change = |settings: &mut llm::Settings| {
            settings.max_answer_bytes = 2 << 20;
            settings.max_line_bytes = 1 << 20;
        };
        let (error, _) = refusal(&base_url, change).await;
        assert!(error.to_string().contains(named), "{error}");
        assert!(reports.recv().await.unwrap() < 100 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_arguments_and_endless_calls_are_rejected() {
    let arguments = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [
        { "index": 0, "id": "a", "function": { "name": "shell", "arguments": "y".repeat(60_000) } }] } }] });
    let (base_url, _reports) = server(STREAM, &format!("data: {arguments}\n\n"), 900, &finished()).await;
    let (error, _) = refusal(&base_url, |_| ()).await;
    assert!(error.to_string().contains("calls.answer_bytes"), "{error}");

    let calls: Vec<Value> = (0..2_000)
        .map(|n| json!({ "index": n, "id": format!("c{n}"), "function": { "name": "shell", "arguments": "{}" } }))
        .collect();
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": calls } }] });
    let (base_url, _reports) = server(STREAM, &format!("data: {chunk}\n\n"), 1, &finished()).await;
    let (error, _) = refusal(&base_url, |_| ()).await;
    assert!(error.to_string().contains("more than 512 tool calls"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_header_is_rejected() {
    let (base_url, mut reports) = server(
        "HTTP/1.1 200 OK\r\n",
        &format!("x-a: {}\r\n", "b".repeat(8_000)),
        100_000,
        "",
    )
    .await;
    let (error, _) = refusal(&base_url, |_| ()).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(reports.recv().await.unwrap() < 100 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_compressed_documents_are_rejected() {
    let deep = format!(
        "data: {{\"choices\": {}1{}}}\n\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let unknown = format!(
        "data: {{\"x\": {}1{}, \"choices\": []}}\n\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let squeezed = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 12\r\n\r\n\u{1f}abcdefghijk";
    for (head, body) in [(STREAM, deep.as_str()), (STREAM, unknown.as_str()), (squeezed, "")] {
        let (base_url, _reports) = server(head, body, 1, &finished()).await;
        let answered = ask(&Models::new(settings(&base_url)).unwrap(), &Book::default()).await;
        // An unknown field may be arbitrarily deep, because it is not read.
        if let Err(error) = answered {
            assert!(matches!(error, Error::Garbage { .. }), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn million_tiny_chunks_are_one_answer() {
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "ab" } }] });
    let (base_url, _reports) = server(STREAM, &format!("data: {chunk}\n\n"), 100_000, &finished()).await;
    let mut settings = settings(&base_url);
    settings.timeouts.total = Duration::from_secs(600);
    settings.retries.total = Duration::from_secs(900);
    let reply = ask(&Models::new(settings).unwrap(), &Book::default()).await.unwrap();
    assert_eq!(reply.content.map(|content| content.len()), Some(200_002));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_call_closes_its_connection() {
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": "ab" } }] });
    for piece in [format!("data: {chunk}\n\n"), "x".to_owned(), ":\n".to_owned()] {
        let (base_url, mut reports) = server(STREAM, &piece, usize::MAX, "").await;
        let models = Models::new(settings(&base_url)).unwrap();
        let (book, waiting) = (Book::default(), Duration::from_millis(300));
        // The duration does not matter: the server never ends by itself.
        let left = tokio::time::timeout(waiting, ask(&models, &book)).await;
        drop(left);
        reports.recv().await.expect("the server saw the connection close");
    }
}
