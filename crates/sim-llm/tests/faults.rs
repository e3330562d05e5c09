//! Each fault, as a client sees it.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sim_llm::{Fault, Rule, Status};
use support::{client, drain, events, post, server, streamed, worker};

/// How long to wait to conclude that nothing comes.
const NOTHING_COMES: Duration = Duration::from_millis(300);

#[tokio::test]
async fn one_429_is_followed_by_the_true_answer() {
    let server = server(vec![
        Rule::worker("a").times(1).fault(Fault::too_many_requests("0.2")),
        Rule::worker("a").say("here"),
    ])
    .await;
    let refused = post(&server, &worker("a", 1, &[])).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "0.2");
    assert_eq!(
        refused.json::<Value>().await.unwrap()["error"]["type"],
        "rate_limit_error"
    );
    assert_eq!(post(&server, &worker("a", 1, &[])).await.status(), 200);
    let journal = server.journal();
    assert_eq!(
        [journal[0].status, journal[1].status],
        [Status::Http(429), Status::Http(200)]
    );
    assert_eq!((journal[0].prompt_tokens, journal[0].completion_tokens), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn status_fault_can_have_body_and_headers() {
    let mut headers = std::collections::BTreeMap::new();
    headers.insert("retry-after-ms".to_owned(), "150".to_owned());
    let fault = Fault::Status {
        status: 529,
        retry_after: None,
        headers,
        body: Some("overloaded".to_owned()),
    };
    let server = server(vec![Rule::any().fault(fault)]).await;
    let response = post(&server, &worker("a", 1, &[])).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after-ms"]),
        (529, &"150".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "overloaded");
    server.stop().await;
}

#[tokio::test]
async fn cut_stream_ends_cleanly_within_a_call() {
    let server = server(vec![
        Rule::any()
            .call("shell", json!({"command": "x".repeat(500)}))
            .fault(Fault::Cut),
    ])
    .await;
    let (body, ended) = drain(post(&server, &streamed(worker("a", 1, &[]))).await).await;
    assert!(ended, "the body must end as if all were well");
    assert!(events(&body).len() > 3);
    assert!(!body.contains("[DONE]") && !body.contains(r#""finish_reason":"tool_calls""#));
    server.stop().await;
}

#[tokio::test]
async fn reset_stream_drops_the_connection_midway() {
    let server = server(vec![Rule::any().say(&"word ".repeat(100)).fault(Fault::Reset)]).await;
    let (body, ended) = drain(post(&server, &streamed(worker("a", 1, &[]))).await).await;
    assert!(!ended);
    assert!(events(&body).len() > 3, "some of it arrives: {body}");
    server.stop().await;
}

#[tokio::test]
async fn cut_complete_answer_is_shorter_than_announced() {
    let server = server(vec![Rule::any().say("half of this").fault(Fault::Cut)]).await;
    let response = post(&server, &worker("a", 1, &[])).await;
    assert_eq!(response.status(), 200);
    let (body, ended) = drain(response).await;
    assert!(!ended && body.starts_with('{'));
    server.stop().await;
}

#[tokio::test]
async fn garbage_and_nothing_come_with_status_200() {
    let server = server(vec![
        Rule::worker("garbage").say("x").fault(Fault::Garbage),
        Rule::worker("empty").fault(Fault::Empty),
    ])
    .await;
    for request in [worker("garbage", 1, &[]), streamed(worker("garbage", 1, &[]))] {
        let response = post(&server, &request).await;
        assert_eq!(response.status(), 200);
        let body = response.text().await.unwrap();
        assert!(serde_json::from_str::<Value>(body.trim_start_matches("data: ")).is_err());
    }
    for request in [worker("empty", 1, &[]), streamed(worker("empty", 1, &[]))] {
        assert_eq!(post(&server, &request).await.text().await.unwrap(), "");
    }
    server.stop().await;
}

#[tokio::test]
async fn hanging_request_does_not_prevent_stopping() {
    let server = server(vec![Rule::any().fault(Fault::Hang)]).await;
    let url = format!("{}/chat/completions", server.base_url());
    let request = client()
        .post(url)
        .json(&worker("a", 1, &[]))
        .timeout(NOTHING_COMES)
        .send()
        .await;
    assert!(request.unwrap_err().is_timeout());
    assert_eq!(server.journal()[0].status, Status::Hang);
    server.stop().await;
}

#[tokio::test]
async fn stalled_stream_starts_and_goes_silent() {
    let server = server(vec![Rule::any().say(&"word ".repeat(50)).fault(Fault::Stall)]).await;
    let mut response = post(&server, &streamed(worker("a", 1, &[]))).await;
    assert!(response.chunk().await.unwrap().is_some());
    let silence = tokio::time::timeout(NOTHING_COMES, async {
        while let Ok(Some(_)) = response.chunk().await {}
    })
    .await;
    assert!(silence.is_err());
    server.stop().await;
}

#[tokio::test]
async fn latency_comes_before_the_first_byte() {
    let server = server(vec![Rule::any().say("late").latency_ms(120)]).await;
    let before = Instant::now();
    assert_eq!(post(&server, &worker("a", 1, &[])).await.status(), 200);
    assert!(before.elapsed() >= Duration::from_millis(120));
    server.stop().await;
}
