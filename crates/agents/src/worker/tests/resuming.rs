//! Attempts that go on where a process died.

use super::*;
use crate::worker::replay::{INTERRUPTED, NOT_BEGUN};
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
        turn,
        assistant: Message::Assistant {
            content: None,
            tool_calls: calls,
        },
        results: results
            .into_iter()
            .map(|(id, result)| (id.to_owned(), result.map(str::to_owned)))
            .collect(),
    }
}

fn finish(id: &str) -> ToolCall {
    call(id, "finish", json!({"outcome": "done", "summary": "a word"}))
}

#[tokio::test]
async fn a_call_without_a_result_is_answered_as_interrupted() {
    let script = Script::play(vec![say_finish(turn(3), "done")]).await;
    let room = Room::new().await;
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
    let end = room.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");

    assert_eq!(script.asked().len(), 1);
    assert_eq!(script.asked()[0].turn, 3);
    let said: Vec<String> = script
        .messages(1)
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said, ["empty", "empty", INTERRUPTED, NOT_BEGUN]);
    let lines = room.notebook.lines();
    assert_eq!(lines[0], format!("2 result, not ok: {INTERRUPTED}"));
    assert_eq!(lines[1], format!("2 result, not ok: {NOT_BEGUN}"));
    assert_eq!(lines[2], "3 answered: 1 calls");
}

#[tokio::test]
async fn an_attempt_that_had_finished_asks_nobody_again() {
    for result in [Some("The report is recorded."), None] {
        let script = Script::play(vec![]).await;
        let mut order = order();
        order.resume = vec![journaled(1, vec![finish("a")], vec![("a", result)])];
        let end = Room::new().await.work(&order, &script).await;
        assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn a_finish_behind_an_interrupted_call_does_not_count() {
    let script = Script::play(vec![say_finish(turn(2), "partial")]).await;
    let mut order = order();
    let test = call("a", "shell", json!({"command": "sh test.sh"}));
    order.resume = vec![journaled(1, vec![test, finish("b")], vec![("a", None)])];
    let end = Room::new().await.work(&order, &script).await;
    let WorkEnd::Finished(finish) = end else {
        panic!("{end:?}");
    };
    assert_eq!(finish.outcome, Outcome::Partial);
    script.asked();
}

#[tokio::test]
async fn what_was_changed_and_reported_before_the_interruption_counts() {
    let write = || call("a", "write_file", json!({"path": "new", "content": "1"}));
    for finished in [Some("The report is recorded."), None] {
        let script = Script::play(vec![]).await;
        let mut order = order();
        let results = vec![("a", Some("wrote new")), ("b", finished)];
        order.resume = vec![journaled(1, vec![write(), finish("b")], results)];
        let end = Room::new().await.work(&order, &script).await;
        assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
        assert!(script.asked().is_empty());
    }
}

#[tokio::test]
async fn a_call_that_was_interrupted_again_and_again_is_no_circle() {
    let shell = |id| call(id, "shell", json!({"command": "sh test.sh"}));
    let script = Script::play(vec![
        turn(7).call("shell", json!({"command": "sh test.sh"})),
        say_finish(turn(8), "done"),
    ])
    .await;
    let mut order = order();
    order.resume = (1..=6)
        .map(|turn| {
            let results = vec![("a", Some(INTERRUPTED)), ("b", Some(NOT_BEGUN))];
            journaled(turn, vec![shell("a"), shell("b")], results)
        })
        .collect();
    let end = Room::new().await.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
}

#[tokio::test]
async fn turns_before_the_interruption_count() {
    let script = Script::play(vec![]).await;
    let mut order = limited(2);
    let silent = |turn| JournaledTurn {
        turn,
        assistant: Message::Assistant {
            content: Some("hm".into()),
            tool_calls: Vec::new(),
        },
        results: Vec::new(),
    };
    order.resume = vec![silent(1), silent(2)];
    let end = Room::new().await.work(&order, &script).await;
    assert!(matches!(end, WorkEnd::Failed(reason) if reason.code == ReasonCode::Limit));
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn the_history_after_a_resume_is_the_history_before_it() {
    let rules = || {
        vec![
            turn(1).say("Hm."),
            turn(2).call("list_dir", json!({"path": "."})),
            say_finish(turn(3), "done"),
        ]
    };
    let whole = Script::play(rules()).await;
    Room::new().await.work(&order(), &whole).await;
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
    silent.assistant = Message::Assistant {
        content: Some("Hm.".into()),
        tool_calls: Vec::new(),
    };
    let id = listing.id.clone();
    resumed.resume = vec![silent, journaled(2, vec![listing], vec![(&id, Some(result))])];
    let rest = Script::play(rules()).await;
    let end = Room::new().await.work(&resumed, &rest).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    assert_eq!(rest.messages(1), before);
}
