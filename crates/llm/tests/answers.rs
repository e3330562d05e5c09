//! Requests as sent, and answers as read.

mod common;

use common::{
    Act, Book, Ending, KEY, Provider, ask, delta, finish, models, request, request_for, say, settings, usage,
};
use domain::NanoDollars;
use llm::{CallStatus, Error, ModelRef, Models, Refusal, StopReason, ToolSpec};
use serde_json::json;
use std::{num::NonZeroUsize, sync::Arc};
use tokio::sync::Semaphore;

#[tokio::test]
async fn streamed_answer_has_content_usage_cost_and_time_to_first_token() {
    let provider = Provider::play([Act::stream(
        [delta("he"), delta("llo"), finish("stop"), usage()],
        Ending::Done,
    )])
    .await;
    let book = Book::default();
    let reply = ask(&models(&provider), &book).await.unwrap();
    assert_eq!(
        (reply.content.as_deref(), reply.stop.clone()),
        (Some("hello"), StopReason::Stop)
    );
    assert_eq!(
        (reply.usage.input, reply.usage.output, reply.usage_reported),
        (1_000, 100, true)
    );
    // 1,000 at 2.50 and 100 at 10 dollars per million.
    assert_eq!(reply.cost, Some(NanoDollars(2_500_000 + 1_000_000)));
    let outcome = book.outcome();
    assert_eq!(
        (outcome.status, outcome.cost, outcome.attempts),
        (CallStatus::Answered, reply.cost, 1)
    );
    assert!(
        outcome
            .time_to_first_token
            .is_some_and(|first| first <= outcome.duration)
    );
    let sent = &provider.seen()[0].body;
    assert_eq!(
        (&sent["stream"], &sent["stream_options"]["include_usage"]),
        (&json!(true), &json!(true))
    );
}

#[tokio::test]
async fn nonstandard_answers_are_read() {
    let odd = json!({ "created": 1.5, "service_tier": "gold", "choices": [
        { "index": 0, "delta": { "content": [{ "type": "text", "text": "hi" }] }, "finish_reason": "eos" },
    ] });
    let provider = Provider::play([Act::stream([odd], Ending::Cut)]).await;
    let reply = ask(&models(&provider), &Book::default()).await.unwrap();
    assert_eq!((reply.content.as_deref(), reply.stop), (Some("hi"), StopReason::Stop));
    // One that does not stream, although asked to.
    let whole = json!({ "choices": [{ "message": { "content": "hi" }, "finish_reason": "length" }] });
    let provider = Provider::play([Act::json(&whole)]).await;
    let reply = ask(&models(&provider), &Book::default()).await.unwrap();
    assert_eq!((reply.content.as_deref(), reply.stop), (Some("hi"), StopReason::Length));
}

#[tokio::test]
async fn tool_calls_are_assembled_from_chunks() {
    let piece = |part: serde_json::Value| json!({ "choices": [{ "delta": { "tool_calls": [part] } }] });
    let provider = Provider::play([Act::stream(
        [
            piece(json!({ "index": 0, "id": "a", "function": { "name": "shell", "arguments": "{\"x\"" } })),
            piece(json!({ "index": 1, "id": "b", "function": { "name": "finish", "arguments": "{}" } })),
            piece(json!({ "index": 0, "function": { "arguments": ":1}" } })),
            finish("tool_calls"),
        ],
        Ending::Done,
    )])
    .await;
    let mut request = request();
    request.tools.push(ToolSpec {
        name: "shell".into(),
        description: "d".into(),
        parameters: json!({}),
    });
    let reply = models(&provider)
        .complete(&request, &Book::default(), None)
        .await
        .unwrap();
    assert_eq!(
        (reply.content.as_deref(), reply.stop.clone()),
        (None, StopReason::ToolCalls)
    );
    let calls: Vec<_> = reply
        .tool_calls
        .iter()
        .map(|call| (&*call.id, &*call.name, &*call.arguments))
        .collect();
    assert_eq!(calls, [("a", "shell", "{\"x\":1}"), ("b", "finish", "{}")]);
}

#[tokio::test]
async fn streaming_can_be_disabled() {
    let whole = json!({ "model": "gpt-4o-2024-11-20", "usage": { "prompt_tokens": 4, "completion_tokens": 2 },
        "choices": [{ "message": { "content": "hi" }, "finish_reason": "stop" }] });
    let provider = Provider::play([Act::status(500, ""), Act::json(&whole)]).await;
    let mut settings = settings(&provider.base_url);
    settings.providers.get_mut("p").unwrap().stream = false;
    let reply = ask(&Models::new(settings).unwrap(), &Book::default()).await.unwrap();
    assert_eq!(
        (reply.model.as_str(), reply.attempts, reply.usage.input),
        ("gpt-4o-2024-11-20", 2, 4)
    );
    assert_eq!(reply.cost, Some(NanoDollars(4 * 2_500 + 2 * 10_000)));
    let sent = &provider.seen()[1].body;
    assert!(
        sent["stream"] == false && sent.get("stream_options").is_none(),
        "{sent}"
    );
}

#[tokio::test]
async fn key_is_sent_but_never_shown() {
    let echo = json!({ "error": { "message": format!("bad request with {KEY} at http://x.test/") } }).to_string();
    let provider = Provider::play([Act::status(400, &echo)]).await;
    let models = models(&provider);
    let error = ask(&models, &Book::default()).await.unwrap_err();
    assert_eq!(provider.seen()[0].headers["authorization"], format!("Bearer {KEY}"));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(KEY) && !shown.contains("x.test"), "{shown}");
}

#[tokio::test]
async fn local_server_is_called_without_a_key() {
    let provider = Provider::play([say("hi")]).await;
    let mut settings = settings(&provider.base_url);
    settings.providers.get_mut("p").unwrap().api_key = None;
    ask(&Models::new(settings).unwrap(), &Book::default()).await.unwrap();
    assert!(!provider.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn call_refused_by_the_ledger_is_never_sent() {
    let provider = Provider::play([say("hi")]).await;
    let models = models(&provider);
    let book = Book::with_cap(NanoDollars(1_000_000));
    let error = ask(&models, &book).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                refusal: Refusal::Budget { .. },
                ..
            }
        ),
        "{error}"
    );
    assert!(provider.seen().is_empty());
    // 4,096 tokens of answer cost at most a little over four cents.
    let book = Book::with_cap(NanoDollars(60_000_000));
    ask(&models, &book).await.unwrap();
    let (planned, outcome) = book.entries().remove(0);
    assert!(planned.upper_bound.unwrap() >= outcome.unwrap().cost.unwrap());
}

#[tokio::test]
async fn unknown_and_unpriced_models_are_reported_at_start() {
    let provider = Provider::play([say("hi")]).await;
    let models = models(&provider);
    let known = ModelRef::new("p", "gpt-4o");
    models.check(&known, true).unwrap();
    let error = models
        .check(&ModelRef::new("q", "gpt-4o"), false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`q`") && error.contains("configured providers: p"),
        "{error}"
    );
    let mystery = ModelRef::new("p", "mystery");
    models.check(&mystery, false).unwrap();
    let error = models.check(&mystery, true).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                refusal: Refusal::Unpriced { .. },
                ..
            }
        ),
        "{error}"
    );
    let reply = models
        .complete(
            &llm::Request {
                model: mystery,
                ..request()
            },
            &Book::default(),
            None,
        )
        .await
        .unwrap();
    // The model that answered has a price, so the call has a cost.
    assert!(reply.cost.is_some());
}

#[tokio::test]
async fn concurrency_limit_is_kept() {
    let gate = Arc::new(Semaphore::new(0));
    let provider = Provider::play([Act::Gated(Arc::clone(&gate), Box::new(say("hi")))]).await;
    let mut settings = settings(&provider.base_url);
    settings.providers.get_mut("p").unwrap().concurrency = NonZeroUsize::new(2).unwrap();
    let models = Models::new(settings).unwrap();
    let book = Book::default();
    let calls = futures_util::future::join_all((0..5).map(|_| ask(&models, &book)));
    let watch = async {
        for round in 0..4 {
            provider.saw(2 + round.min(3)).await;
            assert_eq!(provider.seen().len(), 2 + round);
            gate.add_permits(1);
        }
        gate.add_permits(10);
    };
    let (replies, ()) = tokio::join!(calls, watch);
    assert!(replies.into_iter().all(|reply| reply.is_ok()));
    assert_eq!(provider.seen().len(), 5);
}

#[tokio::test]
async fn dropped_call_keeps_its_reservation() {
    let provider = Provider::play([Act::Hang]).await;
    let models = models(&provider);
    let book = Book::default();
    tokio::select! {
        _ = ask(&models, &book) => panic!("it hangs"),
        () = provider.saw(1) => {}
    }
    assert!(book.entries()[0].1.is_none());
}

#[tokio::test]
async fn call_can_move_between_threads() {
    let provider = Provider::play([say("hi")]).await;
    let models = Arc::new(models(&provider));
    let task = async move {
        let trace = telemetry::TraceContext::generate();
        models.structured(&request(), &Book::default(), Some(&trace)).await
    };
    let error = tokio::spawn(task).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

mod structured {
    use super::*;

    fn schema() -> serde_json::Value {
        json!({ "type": "object", "additionalProperties": false, "required": ["count"],
            "properties": { "count": { "type": "integer" } } })
    }

    #[tokio::test]
    async fn valid_answer_is_accepted() {
        let provider = Provider::play([say("```json\n{\"count\": 3}\n```")]).await;
        let answer = models(&provider)
            .structured(&request_for(schema()), &Book::default(), None)
            .await
            .unwrap();
        assert_eq!((answer.value, answer.repaired.len()), (json!({ "count": 3 }), 0));
        let format = &provider.seen()[0].body["response_format"];
        assert_eq!(
            (&format["type"], &format["json_schema"]["strict"]),
            (&json!("json_schema"), &json!(true))
        );
    }

    #[tokio::test]
    async fn invalid_answer_is_sent_back_once_with_its_errors() {
        let provider = Provider::play([say("{\"count\": \"many\"}"), say("{\"count\": 3}")]).await;
        let book = Book::default();
        let answer = models(&provider)
            .structured(&request_for(schema()), &book, None)
            .await
            .unwrap();
        assert_eq!(answer.value, json!({ "count": 3 }));
        assert!(answer.repaired[0].contains("/count"), "{:?}", answer.repaired);
        assert_eq!(book.entries().len(), 2);
        let sent = provider.seen()[1].body["messages"].clone();
        assert_eq!(sent[2]["content"], "{\"count\": \"many\"}");
        assert!(sent[3]["content"].as_str().unwrap().contains("/count"), "{sent}");
    }

    #[tokio::test]
    async fn second_invalid_answer_is_an_error_listing_the_problems() {
        let provider = Provider::play([say("{\"count\": \"many\"}"), say("three")]).await;
        let error = models(&provider)
            .structured(&request_for(schema()), &Book::default(), None)
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Invalid { problems, .. } if problems[0].contains("not a JSON document")));
        assert_eq!(provider.seen().len(), 2);
    }

    #[tokio::test]
    async fn call_of_unknown_tool_is_not_sent_back() {
        let call = json!({ "index": 0, "id": "c", "function": { "name": "fly", "arguments": "{}" } });
        let flight = Act::stream(
            [
                json!({ "choices": [{ "delta": { "tool_calls": [call] } }] }),
                finish("tool_calls"),
            ],
            Ending::Done,
        );
        let provider = Provider::play([flight, say("{\"count\": 3}")]).await;
        let answer = models(&provider)
            .structured(&request_for(schema()), &Book::default(), None)
            .await
            .unwrap();
        assert_eq!(answer.value, json!({ "count": 3 }));
        let sent = provider.seen()[1].body["messages"].clone();
        assert_eq!(sent[2], json!({ "role": "assistant", "content": "(no answer)" }));
    }

    #[tokio::test]
    async fn models_without_schema_support_answer_through_a_tool() {
        let call = |arguments: &str| {
            let call = json!({ "index": 0, "id": "c", "function": { "name": "answer", "arguments": arguments } });
            Act::stream(
                [
                    json!({ "choices": [{ "delta": { "tool_calls": [call] } }] }),
                    finish("stop"),
                ],
                Ending::Done,
            )
        };
        let provider = Provider::play([call("{}"), call("{\"count\": 3}")]).await;
        let request = llm::Request {
            model: ModelRef::new("p", "gpt-4"),
            ..request_for(schema())
        };
        let answer = models(&provider)
            .structured(&request, &Book::default(), None)
            .await
            .unwrap();
        assert_eq!(answer.value, json!({ "count": 3 }));
        let seen = provider.seen();
        assert_eq!(seen[0].body["tool_choice"]["function"]["name"], "answer");
        // The invalid answer is sent back as text, however it arrived.
        assert_eq!(seen[1].body["messages"][2]["content"], "{}");
    }
}
