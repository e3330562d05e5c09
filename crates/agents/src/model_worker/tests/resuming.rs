//! Attempts that resume after a crash.

use super::*;
use crate::{
    model_worker::replay::{INTERRUPTED, NOT_STARTED},
    port::CallResult,
};
use llm::ToolCall;

fn call(id: &str, name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.to_string(),
    }
}

fn journaled(turn: u32, calls: Vec<ToolCall>, results: Vec<(&str, Option<&str>)>) -> JournaledTurn {
    JournaledTurn {
        number: turn,
        payload: payload(None, calls),
        calls: results
            .into_iter()
            .map(|(id, result)| JournaledCall {
                id: id.to_owned(),
                result: result.map(|content| CallResult {
                    content: content.to_owned(),
                    ok: true,
                }),
            })
            .collect(),
    }
}

fn payload(content: Option<&str>, tool_calls: Vec<ToolCall>) -> serde_json::Value {
    let content = content.map(str::to_owned);
    serde_json::to_value(Message::Assistant { content, tool_calls }).unwrap()
}

fn finish(id: &str) -> ToolCall {
    call(id, "finish", json!({"outcome": "done", "summary": "a word"}))
}

#[tokio::test]
async fn call_without_a_result_is_answered_as_interrupted() {
    let script = Script::play(vec![say_finish(turn(3), "done")]).await;
    let harness = Harness::new().await;
    let list = || call("a", "list_dir", json!({"path": "."}));
    let shell = |id| call(id, "shell", json!({"command": format!("echo {id}")}));
    let mut order = order();
    order.resume = vec![
        journaled(1, vec![list()], vec![("a", Some("empty"))]),
        journaled(
            2,
            vec![list(), shell("b"), shell("c")],
            vec![("a", Some("empty")), ("b", None)],
        ),
    ];
    let end = harness.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");

    assert_eq!(script.asked().len(), 1);
    assert_eq!(script.asked()[0].turn, 3);
    let said: Vec<String> = script
        .messages(1)
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said, ["empty", "empty", INTERRUPTED, NOT_STARTED]);
    let lines = harness.notebook.lines();
    assert_eq!(lines[0], format!("2 result, not ok: {INTERRUPTED}"));
    assert_eq!(lines[1], format!("2 result, not ok: {NOT_STARTED}"));
    assert_eq!(lines[2], "3 answered: 1 calls");
}

#[tokio::test]
async fn finished_attempt_makes_no_further_call() {
    for result in [Some("The report is recorded."), None] {
        let script = Script::play(vec![]).await;
        let mut order = order();
        order.resume = vec![journaled(1, vec![finish("a")], vec![("a", result)])];
        let end = Harness::new().await.work(&order, &script).await;
        assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn finish_after_an_interrupted_call_does_not_count() {
    let script = Script::play(vec![say_finish(turn(2), "partial")]).await;
    let mut order = order();
    let test = call("a", "shell", json!({"command": "sh test.sh"}));
    order.resume = vec![journaled(1, vec![test, finish("b")], vec![("a", None)])];
    let end = Harness::new().await.work(&order, &script).await;
    let WorkEnd::Finished(finish) = end else {
        panic!("{end:?}");
    };
    assert_eq!(finish.outcome, Outcome::Partial);
    script.asked();
}

#[tokio::test]
async fn change_and_report_before_the_interruption_count() {
    let write = || call("a", "write_file", json!({"path": "new", "content": "1"}));
    for finished in [Some("The report is recorded."), None] {
        let script = Script::play(vec![]).await;
        let mut order = order();
        let results = vec![("a", Some("wrote new")), ("b", finished)];
        order.resume = vec![journaled(1, vec![write(), finish("b")], results)];
        let end = Harness::new().await.work(&order, &script).await;
        assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn repeatedly_interrupted_call_is_allowed() {
    let shell = |id| call(id, "shell", json!({"command": "sh test.sh"}));
    let script = Script::play(vec![
        turn(7).call("shell", json!({"command": "sh test.sh"})),
        say_finish(turn(8), "done"),
    ])
    .await;
    let mut order = order();
    order.resume = (1..=6)
        .map(|turn| {
            let results = vec![("a", Some(INTERRUPTED)), ("b", Some(NOT_STARTED))];
            journaled(turn, vec![shell("a"), shell("b")], results)
        })
        .collect();
    let end = Harness::new().await.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
}

#[tokio::test]
async fn turns_before_the_interruption_count() {
    let script = Script::play(vec![]).await;
    let mut order = limited(2);
    let silent = |turn| JournaledTurn {
        number: turn,
        payload: payload(Some("hm"), Vec::new()),
        calls: Vec::new(),
    };
    order.resume = vec![silent(1), silent(2)];
    let end = Harness::new().await.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Failed(reason) if reason.code == ReasonCode::Limit));
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn history_after_a_resume_equals_the_history_before_it() {
    let rules = || {
        vec![
            turn(1).say("Hm."),
            turn(2).call("list_dir", json!({"path": "."})),
            say_finish(turn(3), "done"),
        ]
    };
    let whole = Script::play(rules()).await;
    Harness::new().await.work(&order(), &whole).await;
    let before = whole.messages(3);

    let call_of = |message: &serde_json::Value| ToolCall {
        id: message["tool_calls"][0]["id"].as_str().unwrap().into(),
        name: message["tool_calls"][0]["function"]["name"].as_str().unwrap().into(),
        arguments: message["tool_calls"][0]["function"]["arguments"]
            .as_str()
            .unwrap()
            .into(),
    };
    let listing = call_of(&before[4]);
    let result = before[5]["content"].as_str().unwrap();
    let mut resumed = order();
    let mut silent = journaled(1, vec![], vec![]);
    silent.payload = payload(Some("Hm."), Vec::new());
    let id = listing.id.clone();
    resumed.resume = vec![silent, journaled(2, vec![listing], vec![(&id, Some(result))])];
    let rest = Script::play(rules()).await;
    let end = Harness::new().await.work(&resumed, &rest).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    assert_eq!(rest.messages(1), before);
}

/// Written by the first version: rows of then must stay readable.
#[tokio::test]
async fn payload_of_the_first_version_is_replayed() {
    let script = Script::play(vec![say_finish(turn(3), "done")]).await;
    let mut order = order();
    let listing = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "name": "list_dir", "arguments": "{\"path\": \".\"}"}]});
    let silent = json!({"role": "assistant", "content": "Hm."});
    order.resume = vec![
        JournaledTurn {
            payload: listing,
            ..journaled(1, Vec::new(), vec![("call_1", Some("empty"))])
        },
        JournaledTurn {
            payload: silent,
            ..journaled(2, Vec::new(), Vec::new())
        },
    ];
    let end = Harness::new().await.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    script.asked();
    let messages = script.messages(1);
    assert_eq!(messages[2]["tool_calls"][0]["function"]["name"], "list_dir");
    assert_eq!(messages[3]["content"], "empty");
    assert_eq!(messages[4]["content"], "Hm.");
}

#[tokio::test]
async fn unreadable_payload_fails_the_attempt_and_names_the_turn() {
    let script = Script::play(vec![]).await;
    let mut order = order();
    order.resume = vec![JournaledTurn {
        payload: json!({"step": 1}),
        ..journaled(1, Vec::new(), Vec::new())
    }];
    let end = Harness::new().await.work(&order, &script).await;
    assert!(
        matches!(&end, WorkEnd::Failed(reason) if reason.code == ReasonCode::Internal && reason.message.contains("turn 1")),
        "{end:?}"
    );
}
