//! Whole attempts, against a scripted model over HTTP, with real tools in a real directory.

mod prompts;
mod resuming;

use super::*;
use crate::{
    profile::{Profile, Profiles},
    testing::{Book, Notebook, Script, sim},
    tools::{ToolLimits, ToolSettings},
};
use domain::{
    CommitId,
    limits::RunLimits,
    plan::Paths,
    run::{Check, CheckSource},
};
use sandbox::{Sandbox, Settings, Tier};
use serde_json::json;
use sim_llm::{Fault, Rule};
use std::{fs, sync::Arc, time::Duration};
use tempfile::TempDir;

/// An attempt's surroundings.
struct Room {
    directory: TempDir,
    toolbox: ToolBox,
    book: Book,
    notebook: Notebook,
    cancel: CancellationToken,
}

impl Room {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["wt", "out"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let settings = ToolSettings {
            worktree: directory.path().join("wt"),
            hub: None,
            outputs: directory.path().join("out"),
            allowed: coder().tools,
            write_policy: coder().write,
            limits: ToolLimits::default(),
            shell_env: Vec::new(),
            build_caches: Vec::new(),
        };
        let sandbox = Sandbox::probe(Tier::None, Settings::default()).await.unwrap();
        Self {
            toolbox: ToolBox::new(settings, Arc::new(sandbox)).unwrap(),
            directory,
            book: Book::default(),
            notebook: Notebook::default(),
            cancel: CancellationToken::new(),
        }
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.directory.path().join("wt").join(name)).ok()
    }

    async fn work(&self, order: &WorkOrder, script: &Script) -> WorkEnd {
        let means = Means {
            toolbox: &self.toolbox,
            models: &script.models,
            ledger: &self.book,
            journal: &self.notebook,
            cancel: &self.cancel,
            trace: None,
        };
        work(order, means).await
    }
}

fn coder() -> Profile {
    let profiles = Profiles::built_in().unwrap();
    profiles.get("coder").unwrap().clone()
}

fn order() -> WorkOrder {
    WorkOrder {
        run: "1a2b3c4d".into(),
        task: "greeting".into(),
        attempt: 1,
        title: "Greet".into(),
        instructions: "Write hello into hello.txt.".into(),
        acceptance: Vec::new(),
        gate: Check {
            command: Some("sh test.sh".into()),
            source: CheckSource::Request,
        },
        check: None,
        objective: "Greet the world.".into(),
        interfaces: Vec::new(),
        hand_offs: Vec::new(),
        feedback: None,
        paths: Paths::default(),
        base: CommitId("a".repeat(40)),
        conflicted: Vec::new(),
        profile: coder(),
        model: sim(),
        limits: RunLimits::default(),
        resume: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

fn limited(turns: u32) -> WorkOrder {
    let mut order = order();
    order.limits.turns = turns;
    order
}

fn say_finish(rule: Rule, outcome: &str) -> Rule {
    rule.call("finish", json!({"outcome": outcome, "summary": "a word"}))
}

fn turn(number: u32) -> Rule {
    Rule::worker("greeting").turn(number)
}

fn write(rule: Rule) -> Rule {
    rule.call("write_file", json!({"path": "hello.txt", "content": "hello\n"}))
}

#[tokio::test]
async fn an_attempt_writes_journals_and_finishes() {
    let script = Script::play(vec![
        write(turn(1)).call("shell", json!({"command": "cat hello.txt"})),
        say_finish(turn(2), "done").call("shell", json!({"command": "rm hello.txt"})),
    ])
    .await;
    let room = Room::new().await;
    let end = room.work(&order(), &script).await;
    let WorkEnd::Finished(finish) = end else {
        panic!("{end:?}");
    };
    assert_eq!((finish.outcome, finish.summary.as_str()), (Outcome::Done, "a word"));
    assert_eq!(room.file("hello.txt").as_deref(), Some("hello\n"));
    let lines = room.notebook.lines();
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "1 answered",
            "1 intent",
            "1 result, ok",
            "1 intent",
            "1 result, ok",
            "1 ended",
            "2 answered",
            "2 intent",
            "2 result, ok",
            "2 result, not ok",
            "2 ended"
        ]
    );
    assert_eq!(lines[3], "1 intent: shell cat hello.txt");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn blocked_may_be_tried_again_and_impossible_may_not() {
    for (outcome, gives_up) in [("blocked", false), ("impossible", true)] {
        let script = Script::play(vec![say_finish(turn(1), outcome)]).await;
        let end = Room::new().await.work(&order(), &script).await;
        let reason = match end {
            WorkEnd::GaveUp(reason) if gives_up => reason,
            WorkEnd::Failed(reason) if !gives_up => reason,
            end => panic!("{end:?}"),
        };
        assert_eq!(reason.code, ReasonCode::Worker);
        assert!(reason.message.contains("a word"));
    }
}

#[tokio::test]
async fn an_answer_without_a_call_is_nudged_and_three_fail() {
    let script = Script::play(vec![Rule::worker("*").say("I am thinking.")]).await;
    let end = Room::new().await.work(&order(), &script).await;
    assert!(matches!(end, WorkEnd::Failed(_)), "{end:?}");
    assert_eq!(script.asked().len(), 3);
    let nudge = script.messages(2).pop().unwrap();
    assert!(nudge["content"].as_str().unwrap().contains("You called no tool"));
}

#[tokio::test]
async fn unknown_tools_and_broken_arguments_are_answered() {
    let script = Script::play(vec![
        turn(1).call("fly", json!({})).raw_call("shell", "{\"command"),
        turn(2).call("finish", json!({"outcome": "great"})),
        say_finish(turn(3), "done"),
    ])
    .await;
    let room = Room::new().await;
    let end = room.work(&order(), &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    let lines = room.notebook.lines();
    assert!(lines.iter().any(|line| line.contains("The tool `fly` does not exist")));
    assert!(lines.iter().any(|line| line.contains("not valid JSON")));
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test]
async fn the_last_turn_asks_for_finish_and_runs_nothing_else() {
    let script = Script::play(vec![turn(1).call("list_dir", json!({"path": "."})), write(turn(2))]).await;
    let room = Room::new().await;
    let end = room.work(&limited(2), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Limit);
    assert_eq!(room.file("hello.txt"), None);
    let body = script.body(2);
    assert_eq!(body["tool_choice"]["function"]["name"], "finish");
    let last = body["messages"].as_array().unwrap().last().unwrap().clone();
    assert!(last["content"].as_str().unwrap().contains("your last turn"));
}

#[tokio::test]
async fn a_worker_in_circles_is_nudged_refused_and_stopped() {
    let script = Script::play(vec![Rule::worker("*").call("shell", json!({"command": "echo a"}))]).await;
    let room = Room::new().await;
    let end = room.work(&order(), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert!(reason.message.contains("in circles"), "{reason}");
    assert_eq!(script.asked().len(), 6);
    let nudge = script.messages(5).pop().unwrap();
    assert!(nudge["content"].as_str().unwrap().contains("You repeat calls"));
}

#[tokio::test]
async fn the_journal_can_stop_an_attempt_or_say_something() {
    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut room = Room::new().await;
    room.notebook.verdicts = vec![("1 intent", Verdict::Stop)];
    assert_eq!(room.work(&order(), &script).await, WorkEnd::Stopped);
    assert_eq!(room.file("hello.txt"), None, "nothing runs after a stop");

    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut room = Room::new().await;
    let word = Verdict::Message("the person says: in English, please".into());
    room.notebook.verdicts = vec![("1 ended", word)];
    assert!(matches!(room.work(&order(), &script).await, WorkEnd::Finished(_)));
    let last = script.messages(2).pop().unwrap();
    assert_eq!(last["role"], "user");
    assert_eq!(last["content"], "the person says: in English, please");
    script.asked();
}

#[tokio::test]
async fn a_refused_budget_gives_up() {
    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut room = Room::new().await;
    room.book.refuse_from = Some(1);
    let end = room.work(&order(), &script).await;
    let WorkEnd::GaveUp(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Budget);
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn a_model_that_hangs_is_left_when_the_attempt_is_cancelled() {
    let script = Script::play(vec![Rule::any().fault(Fault::Hang)]).await;
    let room = Room::new().await;
    let order = order();
    let (end, ()) = tokio::join!(room.work(&order, &script), async {
        while script.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        room.cancel.cancel();
    });
    assert_eq!(end, WorkEnd::Stopped);
}

#[tokio::test]
async fn an_attempt_past_its_time_fails_with_the_limit() {
    let script = Script::play(vec![turn(1).call("shell", json!({"command": "sleep 30"}))]).await;
    let room = Room::new().await;
    let mut order = order();
    order.deadline = Instant::now() + Duration::from_millis(700);
    let end = room.work(&order, &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Limit);
    assert!(
        room.notebook
            .lines()
            .iter()
            .any(|line| line.starts_with("1 result, not ok"))
    );
}

#[tokio::test]
async fn a_provider_that_fails_is_no_fault_of_the_task() {
    let script = Script::play(vec![Rule::any().fault(Fault::status(500))]).await;
    let end = Room::new().await.work(&order(), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Model);
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_shortened_and_asked_again() {
    let too_long = Fault::Status {
        status: 400,
        retry_after: None,
        headers: Default::default(),
        body: Some(json!({"error": {"code": "context_length_exceeded", "message": "too long"}}).to_string()),
    };
    let script = Script::play(vec![
        turn(1).call(
            "write_file",
            json!({"path": "long.txt", "content": "line\n".repeat(2_000)}),
        ),
        turn(2).call("read_file", json!({"path": "long.txt"})),
        turn(3).times(1).fault(too_long),
        say_finish(turn(3), "done"),
    ])
    .await;
    let end = Room::new().await.work(&order(), &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    script.asked();
    let (refused, shortened) = (script.messages(3), script.messages(4));
    assert_eq!(refused.len(), shortened.len());
    assert_eq!(refused[..2], shortened[..2], "what was asked stays word for word");
    assert!(shortened[5]["content"].as_str().unwrap().starts_with("[elided: "));
}
