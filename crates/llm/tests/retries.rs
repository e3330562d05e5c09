//! Which failures are retried, and when.

mod common;

use common::{Act, Book, Ending, Provider, ask, delta, finish, models, request, say, settings, usage};
use llm::{CallStatus, Error, Models, TimeoutKind};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn every_form_of_retry_after_is_honoured() {
    let moment = "Fri, 01 Jan 2027 00:00:02 GMT";
    let dated = Act::Whole {
        status: 429,
        headers: vec![
            ("retry-after", "Fri, 01 Jan 2027 00:00:03 GMT".into()),
            ("date", moment.into()),
        ],
        body: String::new(),
    };
    for (limited, wait) in [
        (Act::limited("retry-after-ms", "300"), 300),
        (Act::limited("retry-after", "1"), 1_000),
        (Act::limited("retry-after", "0.4"), 400),
        (dated, 1_000),
        (Act::limited("x-ratelimit-reset-requests", "350ms"), 350),
    ] {
        let provider = Provider::play([limited, say("hi")]).await;
        let reply = ask(&models(&provider), &Book::default()).await.unwrap();
        assert_eq!((reply.attempts, reply.content.as_deref()), (2, Some("hi")));
        let seen = provider.seen();
        let waited = seen[1].at - seen[0].at;
        assert!(waited >= Duration::from_millis(wait), "{waited:?} instead of {wait} ms");
    }
}

#[tokio::test]
async fn retry_after_beyond_the_cap_is_capped() {
    let provider = Provider::play([Act::limited("retry-after", "3600"), say("hi")]).await;
    let mut settings = settings(&provider.base_url);
    settings.retries.max_delay = Duration::from_millis(50);
    let reply = ask(&Models::new(settings).unwrap(), &Book::default()).await.unwrap();
    assert_eq!(reply.attempts, 2);
    assert!(reply.duration >= Duration::from_millis(50));
}

#[tokio::test]
async fn wait_beyond_the_deadline_ends_the_call_at_once() {
    let provider = Provider::play([Act::limited("retry-after", "7200")]).await;
    let mut settings = settings(&provider.base_url);
    settings.retries.max_delay = Duration::from_secs(7_200);
    settings.retries.total = Duration::from_secs(36_000);
    let mut request = request();
    // A call that waited for it would wait for an hour.
    request.deadline = Some(Instant::now() + Duration::from_secs(3_600));
    let error = Models::new(settings)
        .unwrap()
        .complete(&request, &Book::default(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::RateLimited { attempts: 1, .. }), "{error}");
}

#[tokio::test]
async fn call_ends_at_its_deadline_within_an_answer() {
    let provider = Provider::play([Act::stream([delta("a")], Ending::Drip)]).await;
    let mut request = request();
    request.deadline = Some(Instant::now() + Duration::from_secs(3));
    let error = models(&provider)
        .complete(&request, &Book::default(), None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Timeout {
                kind: TimeoutKind::Deadline,
                attempts: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("within the call's deadline of "), "{error}");
}

#[tokio::test]
async fn plain_text_error_keeps_its_status_after_all_attempts() {
    let provider = Provider::play([Act::status(429, "slow down, please")]).await;
    let book = Book::default();
    let error = ask(&models(&provider), &book).await.unwrap_err();
    assert!(matches!(&error, Error::RateLimited { attempts: 3, detail, .. } if detail == "slow down, please"));
    assert_eq!(provider.seen().len(), 3);
    assert_eq!(book.outcome().status, CallStatus::Failed);
}

#[tokio::test]
async fn server_errors_are_retried() {
    for status in [408, 409, 500, 502, 503, 504, 529] {
        let provider = Provider::play([Act::status(status, "<html>oops</html>"), say("hi")]).await;
        let reply = ask(&models(&provider), &Book::default()).await.unwrap();
        assert_eq!(reply.attempts, 2, "{status}");
    }
}

#[tokio::test]
async fn permanent_errors_are_not_retried() {
    let refusal = |code: &str| json!({ "error": { "message": "no", "code": code } }).to_string();
    for (status, body) in [
        (400, refusal("context_length_exceeded")),
        (400, refusal("content_filter")),
        (400, "what?".into()),
        (401, refusal("invalid_api_key")),
        (402, String::new()),
        (403, String::new()),
        (404, refusal("model_not_found")),
        (302, String::new()),
        (429, refusal("insufficient_quota")),
    ] {
        let provider = Provider::play([Act::status(status, &body), say("hi")]).await;
        let book = Book::default();
        let error = ask(&models(&provider), &book).await.unwrap_err();
        assert_eq!(provider.seen().len(), 1, "{error}");
        assert_eq!(
            (book.outcome().status, book.outcome().attempts),
            (CallStatus::Failed, 1)
        );
        let fitting = match status {
            401 | 403 => matches!(error, Error::Auth { .. }),
            402 | 429 => matches!(error, Error::Quota { .. }),
            400 if body.contains("context") => matches!(error, Error::ContextLength { .. }),
            400 if body.contains("filter") => matches!(error, Error::ContentFilter { .. }),
            _ => matches!(error, Error::BadRequest { .. }),
        };
        assert!(fitting, "{status} {body}: {error:?}");
    }
}

#[tokio::test]
async fn stream_cut_in_a_tool_call_is_retried() {
    let call = json!({ "choices": [{ "delta": { "tool_calls": [
        { "index": 0, "id": "c", "function": { "name": "shell", "arguments": "{\"comm" } },
    ] } }] });
    for ending in [Ending::Cut, Ending::Done, Ending::Broken] {
        let provider = Provider::play([Act::stream([call.clone()], ending), say("hi")]).await;
        let book = Book::default();
        let reply = ask(&models(&provider), &book).await.unwrap();
        assert_eq!((reply.attempts, reply.content.as_deref()), (2, Some("hi")));
    }
    let provider = Provider::play([Act::stream([call], Ending::Cut)]).await;
    let book = Book::default();
    let error = ask(&models(&provider), &book).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { attempts: 3, .. }), "{error}");
    // The provider may bill the started answer.
    assert_eq!(book.outcome().status, CallStatus::Lost);
}

#[tokio::test]
async fn unreadable_answers_are_requested_a_limited_number_of_times() {
    let page = Act::Whole {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        body: "<html>welcome</html>".into(),
    };
    let events = Act::Stream {
        events: vec!["{\"choices\": [".into()],
        ending: Ending::Done,
    };
    let wrong = Act::json(&json!({ "choices": "none" }));
    let nameless = Act::stream(
        [
            json!({ "choices": [{ "delta": { "tool_calls": [{ "index": 0, "id": "c" }] } }] }),
            finish("tool_calls"),
        ],
        Ending::Done,
    );
    for garbage in [page, events, wrong, nameless] {
        let provider = Provider::play([garbage.clone()]).await;
        let error = ask(&models(&provider), &Book::default()).await.unwrap_err();
        assert!(matches!(error, Error::Garbage { attempts: 2, .. }), "{error}");
        assert_eq!(provider.seen().len(), 2);
        let provider = Provider::play([garbage, say("hi")]).await;
        assert_eq!(ask(&models(&provider), &Book::default()).await.unwrap().attempts, 2);
    }
}

#[tokio::test]
async fn hanging_or_silent_server_is_retried() {
    let silent = Act::stream([delta("a")], Ending::Silent);
    for (act, expected) in [(Act::Hang, TimeoutKind::Header), (silent, TimeoutKind::StreamIdle)] {
        let provider = Provider::play([act.clone()]).await;
        let mut settings = settings(&provider.base_url);
        settings.timeouts.header = Duration::from_millis(150);
        settings.timeouts.stream_idle = Duration::from_millis(150);
        settings.retries.max_attempts = 2;
        let book = Book::default();
        let error = ask(&Models::new(settings).unwrap(), &book).await.unwrap_err();
        assert!(
            matches!(error, Error::Timeout { kind, attempts: 2, .. } if kind == expected),
            "{error}"
        );
        assert_eq!(provider.seen().len(), 2);
        assert_eq!(book.outcome().status, CallStatus::Lost);
    }
}

#[tokio::test]
async fn answer_that_takes_too_long_is_not_retried() {
    let provider = Provider::play([Act::stream([delta("a")], Ending::Drip)]).await;
    let mut settings = settings(&provider.base_url);
    settings.timeouts.total = Duration::from_millis(200);
    let error = ask(&Models::new(settings).unwrap(), &Book::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                kind: TimeoutKind::Total,
                attempts: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn answer_without_usage_is_kept() {
    for ending in [Ending::Cut, Ending::Broken, Ending::Silent] {
        let provider = Provider::play([Act::stream([delta("hi"), finish("stop")], ending)]).await;
        let mut settings = settings(&provider.base_url);
        settings.timeouts.stream_idle = Duration::from_millis(150);
        let reply = ask(&Models::new(settings).unwrap(), &Book::default()).await.unwrap();
        assert_eq!((reply.attempts, reply.usage_reported), (1, false));
        assert!(
            reply.usage.input > 0 && reply.cost.is_some(),
            "never free: {:?}",
            reply.usage
        );
    }
}

#[tokio::test]
async fn answer_beyond_the_byte_limit_is_rejected() {
    let provider = Provider::play([Act::stream(
        [delta(&"x".repeat(5_000)), finish("stop"), usage()],
        Ending::Done,
    )])
    .await;
    let mut settings = settings(&provider.base_url);
    settings.max_answer_bytes = 4_000;
    settings.retries.max_attempts = 1;
    let error = ask(&Models::new(settings).unwrap(), &Book::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("longer than calls.answer_bytes = 4000"),
        "{error}"
    );
}

#[tokio::test]
async fn unreachable_provider_is_named_without_its_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let models = Models::new(settings(&format!("http://{address}/v1"))).unwrap();
    let book = Book::default();
    let error = ask(&models, &book).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { attempts: 3, .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("p/gpt-4o") && !text.contains(&address.port().to_string()),
        "{text}"
    );
    assert_eq!(book.outcome().status, CallStatus::Failed);
}
