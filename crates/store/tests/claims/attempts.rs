//! The journal of an attempt, and its ledger.

use crate::place::Place;
use domain::{CommitId, NanoDollars, event::Event};
use serde_json::json;
use store::{
    Holder,
    attempt::{BackendRow, CallRow, Held, ResultRow, TurnRow, Writer},
    ledger::{Reservation, Reserved, Settlement},
};

async fn attempt(place: &Place) -> (Holder, Writer) {
    let holder = place.process("p").await;
    let run = place.run(1, 0.0).await;
    place.task(run, "t", 1, 0).await;
    let claimed = place.database.store().claim(holder, 1, &[]).await.unwrap().remove(0);
    let writer = Writer {
        run,
        task: claimed.task,
        attempt: claimed.attempt_id,
        fence: claimed.fence,
    };
    (holder, writer)
}

fn answer() -> (TurnRow, Event) {
    let row = TurnRow {
        number: 1,
        backend: BackendRow {
            kind: "some_backend".into(),
            version: 3,
        },
        payload: json!({"content": "a\u{0}b"}),
        text: Some("a\u{0}b".into()),
        model: "m".into(),
        input_tokens: 1,
        output_tokens: 1,
        cost: None,
    };
    (
        row,
        Event::TurnAnswered {
            attempt: 1,
            turn: 1,
            tools: vec!["sh\u{0}ell".into()],
            cost: None,
        },
    )
}

fn call() -> (CallRow, Event) {
    let row = CallRow {
        turn: 1,
        call_id: "c\u{0}1".into(),
        name: "shell".into(),
        arguments: "{}".into(),
        summary: "printf '\u{0}'".into(),
    };
    (
        row,
        Event::ToolStarted {
            turn: 1,
            tool: "shell".into(),
            summary: "printf '\u{0}'".into(),
        },
    )
}

#[tokio::test]
async fn what_models_and_commands_write_is_kept_whatever_characters_it_has() {
    let place = Place::new().await;
    let (_, writer) = attempt(&place).await;
    let store = place.database.store();
    let (turn, fact) = answer();
    assert_eq!(store.record_turn(writer, &turn, fact).await.unwrap(), Held::Yes);
    let (row, fact) = call();
    assert_eq!(store.record_call(writer, &row, fact).await.unwrap(), Held::Yes);
    let result = ResultRow {
        call_id: "c\u{0}1",
        content: "x\u{0}y",
        ok: true,
    };
    assert_eq!(store.record_result(writer, 1, &result, None).await.unwrap(), Held::Yes);
    let replayed = store.replay(writer.attempt).await.unwrap();
    assert_eq!(replayed[0].calls[0].result, Some(("x\u{fffd}y".to_owned(), true)));
    assert_eq!(replayed[0].payload["content"], "a\u{fffd}b");
}

#[tokio::test]
async fn what_is_said_again_because_no_answer_came_is_written_once() {
    let place = Place::new().await;
    let (_, writer) = attempt(&place).await;
    let store = place.database.store();
    for _ in 0..2 {
        let (turn, fact) = answer();
        assert_eq!(store.record_turn(writer, &turn, fact).await.unwrap(), Held::Yes);
        let (row, fact) = call();
        assert_eq!(store.record_call(writer, &row, fact).await.unwrap(), Held::Yes);
    }
    assert_eq!(place.number("select count(*) from tool_call").await, 1);
    assert_eq!(
        place
            .number("select count(*) from event where kind <> 'task_claimed'")
            .await,
        2
    );
    assert_eq!(place.wrong_counters().await, 0);
}

#[tokio::test]
async fn a_call_that_was_never_begun_is_answered_without_ending_the_attempt() {
    let place = Place::new().await;
    let (_, writer) = attempt(&place).await;
    let store = place.database.store();
    let result = ResultRow {
        call_id: "never begun",
        content: "not run",
        ok: false,
    };
    assert_eq!(store.record_result(writer, 1, &result, None).await.unwrap(), Held::Yes);
    place.end(writer.run, writer.task).await;
    assert_eq!(store.record_result(writer, 1, &result, None).await.unwrap(), Held::No);
}

#[tokio::test]
async fn a_result_is_recorded_with_the_snapshot_of_what_it_did_and_a_stale_one_with_nothing() {
    let place = Place::new().await;
    let (_, writer) = attempt(&place).await;
    let store = place.database.store();
    let (turn, fact) = answer();
    store.record_turn(writer, &turn, fact).await.unwrap();
    let result = ResultRow {
        call_id: "c",
        content: "written",
        ok: true,
    };
    let snapshot = CommitId("s1".into());
    store.record_result(writer, 1, &result, Some(&snapshot)).await.unwrap();
    assert_eq!(store.end_turn(writer, 1, None).await.unwrap(), Held::Yes);
    assert_eq!(
        store.attempt(writer.attempt).await.unwrap().snapshot,
        Some(snapshot.clone())
    );
    place.give_back(writer.run, writer.task, false).await;
    let late = CommitId("s2".into());
    assert_eq!(
        store.record_result(writer, 1, &result, Some(&late)).await.unwrap(),
        Held::No
    );
    assert_eq!(store.end_turn(writer, 1, Some(&late)).await.unwrap(), Held::No);
    assert_eq!(store.attempt(writer.attempt).await.unwrap().snapshot, Some(snapshot));
}

#[tokio::test]
async fn a_call_taken_for_lost_is_settled_when_its_answer_comes_after_all() {
    let place = Place::new().await;
    let (holder, writer) = attempt(&place).await;
    let other = place.process("other").await;
    let store = place.database.store();
    let call = Reservation {
        run: writer.run,
        task: Some(writer.task),
        attempt: None,
        role: "worker",
        provider: "p".into(),
        model: "m".into(),
        upper_bound: NanoDollars(1_000),
    };
    let Reserved::Yes(id) = store.reserve(holder, &call).await.unwrap() else {
        panic!("the cap allows it")
    };
    assert!(
        matches!(store.reserve(holder, &call).await.unwrap(), Reserved::OverCap(_)),
        "the cap is reached exactly"
    );
    place.silent(holder).await;
    assert_eq!(
        store.lose_calls(holder).await.unwrap(),
        NanoDollars(0),
        "its own process knows better"
    );
    assert_eq!(store.lose_calls(other).await.unwrap(), NanoDollars(1_000));
    let settlement = Settlement {
        status: "success".into(),
        cost: Some(NanoDollars(400)),
        ..Settlement::default()
    };
    for _ in 0..2 {
        store.settle(id, &settlement).await.unwrap();
    }
    assert_eq!(place.number("select spent from budget").await, 400);
    assert_eq!(place.number("select reserved from budget").await, 0);
}
