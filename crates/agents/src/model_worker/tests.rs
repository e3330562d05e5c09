//! Whole attempts, against a scripted model over HTTP, with real tools in a real directory.

mod prompts;
mod resuming;

use super::*;
use crate::{
    profile::{Profile, Profiles},
    testing::{Book, Notebook, Script, sim},
    tools::{ToolBox, ToolLimits, ToolSettings},
    worker::{Feedback, HandOff, JournaledCall, JournaledTurn},
};
use domain::{
    CommitId,
    limits::RunLimits,
    plan::Paths,
    run::{Check, CheckSource},
    task::Outcome,
};
use sandbox::{CancellationToken, Sandbox, Settings, Tier};
use serde_json::json;
use sim_llm::{Fault, Rule};
use std::{fs, sync::Arc, time::Duration};
use tempfile::TempDir;

/// The surroundings of an attempt.
struct Harness {
    directory: TempDir,
    toolbox: ToolBox,
    book: Book,
    notebook: Notebook,
    cancel: CancellationToken,
}

impl Harness {
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
        let session = Session {
            toolbox: &self.toolbox,
            ledger: &self.book,
            journal: &self.notebook,
            cancel: &self.cancel,
            trace: None,
        };
        ModelWorker::new(script.models.clone()).work(order, session).await
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
async fn attempt_writes_journals_and_finishes() {
    let script = Script::play(vec![
        write(turn(1)).call("shell", json!({"command": "cat hello.txt"})),
        say_finish(turn(2), "done").call("shell", json!({"command": "rm hello.txt"})),
    ])
    .await;
    let harness = Harness::new().await;
    let end = harness.work(&order(), &script).await;
    let WorkEnd::Finished(finish) = end else {
        panic!("{end:?}");
    };
    assert_eq!((finish.outcome, finish.summary.as_str()), (Outcome::Done, "a word"));
    assert_eq!(harness.file("hello.txt").as_deref(), Some("hello\n"));
    let lines = harness.notebook.lines();
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "1 answered",
            "1 started",
            "1 result, ok",
            "1 started",
            "1 result, ok",
            "1 ended",
            "2 answered",
            "2 started",
            "2 result, ok",
            "2 result, not ok",
            "2 ended"
        ]
    );
    assert_eq!(lines[3], "1 started: shell cat hello.txt");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn blocked_fails_the_attempt_and_impossible_the_task() {
    for (outcome, gives_up) in [("blocked", false), ("impossible", true)] {
        let script = Script::play(vec![say_finish(turn(1), outcome)]).await;
        let end = Harness::new().await.work(&order(), &script).await;
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
async fn answer_without_a_call_is_nudged_and_the_third_fails() {
    let script = Script::play(vec![Rule::worker("*").say("I am thinking.")]).await;
    let end = Harness::new().await.work(&order(), &script).await;
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
    let harness = Harness::new().await;
    let end = harness.work(&order(), &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    let lines = harness.notebook.lines();
    assert!(lines.iter().any(|line| line.contains("The tool `fly` does not exist")));
    assert!(lines.iter().any(|line| line.contains("not valid JSON")));
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test]
async fn last_turn_requests_finish_and_runs_nothing_else() {
    let script = Script::play(vec![turn(1).call("list_dir", json!({"path": "."})), write(turn(2))]).await;
    let harness = Harness::new().await;
    let end = harness.work(&limited(2), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Limit);
    assert_eq!(harness.file("hello.txt"), None);
    let body = script.body(2);
    assert_eq!(body["tool_choice"]["function"]["name"], "finish");
    let last = body["messages"].as_array().unwrap().last().unwrap().clone();
    assert!(last["content"].as_str().unwrap().contains("your last turn"));
}

#[tokio::test]
async fn worker_in_circles_is_nudged_refused_and_stopped() {
    let script = Script::play(vec![Rule::worker("*").call("shell", json!({"command": "echo a"}))]).await;
    let harness = Harness::new().await;
    let end = harness.work(&order(), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert!(reason.message.contains("in circles"), "{reason}");
    assert_eq!(script.asked().len(), 6);
    let nudge = script.messages(5).pop().unwrap();
    assert!(nudge["content"].as_str().unwrap().contains("You repeat calls"));
}

#[tokio::test]
async fn journal_can_stop_an_attempt_or_add_a_message() {
    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut harness = Harness::new().await;
    harness.notebook.verdicts = vec![("1 started", Verdict::Stop)];
    assert_eq!(harness.work(&order(), &script).await, WorkEnd::Stopped);
    assert_eq!(harness.file("hello.txt"), None, "nothing runs after a stop");

    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut harness = Harness::new().await;
    let word = Verdict::Message("the person says: in English, please".into());
    harness.notebook.verdicts = vec![("1 ended", word)];
    assert!(matches!(harness.work(&order(), &script).await, WorkEnd::Finished(_)));
    let last = script.messages(2).pop().unwrap();
    assert_eq!(last["role"], "user");
    assert_eq!(last["content"], "the person says: in English, please");
    script.asked();
}

#[tokio::test]
async fn refused_budget_ends_the_task() {
    let script = Script::play(vec![write(turn(1)), say_finish(turn(2), "done")]).await;
    let mut harness = Harness::new().await;
    harness.book.refuse_from = Some(1);
    let end = harness.work(&order(), &script).await;
    let WorkEnd::GaveUp(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Budget);
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn cancelled_attempt_does_not_wait_for_a_hanging_model() {
    let script = Script::play(vec![Rule::any().fault(Fault::Hang)]).await;
    let harness = Harness::new().await;
    let order = order();
    let (end, ()) = tokio::join!(harness.work(&order, &script), async {
        while script.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        harness.cancel.cancel();
    });
    assert_eq!(end, WorkEnd::Stopped);
}

#[tokio::test]
async fn attempt_past_its_deadline_fails_with_the_limit() {
    let script = Script::play(vec![turn(1).call("shell", json!({"command": "sleep 30"}))]).await;
    let harness = Harness::new().await;
    let mut order = order();
    order.deadline = Instant::now() + Duration::from_millis(700);
    let end = harness.work(&order, &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Limit);
    assert!(
        harness
            .notebook
            .lines()
            .iter()
            .any(|line| line.starts_with("1 result, not ok"))
    );
}

#[tokio::test]
async fn provider_failure_has_the_reason_code_of_the_model() {
    let script = Script::play(vec![Rule::any().fault(Fault::status(500))]).await;
    let end = Harness::new().await.work(&order(), &script).await;
    let WorkEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert_eq!(reason.code, ReasonCode::Model);
}

#[tokio::test]
async fn conversation_that_is_too_long_is_compacted_and_retried() {
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
    let end = Harness::new().await.work(&order(), &script).await;
    assert!(matches!(end, WorkEnd::Finished(_)), "{end:?}");
    script.asked();
    let (refused, shortened) = (script.messages(3), script.messages(4));
    assert_eq!(refused.len(), shortened.len());
    assert_eq!(refused[..2], shortened[..2], "what was asked stays word for word");
    assert!(shortened[5]["content"].as_str().unwrap().starts_with("[elided: "));
}
