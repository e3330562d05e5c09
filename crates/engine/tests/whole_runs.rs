//! Whole runs, from an objective to a branch.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::{NanoDollars, gate::GateVerdict, run::RunState};
use engine::LimitOverrides;
use harness::{Harness, done, file, git, plan, report};
use serde_json::json;
use sim_llm::{Rule, Scenario, Usage};

const CHECK: &str = "sh test.sh";
/// A test suite that passes where no file says `broken`.
const SUITE: &str = "echo 1..1\nif grep -rq broken src; then echo 'not ok 1 - nothing is broken'; exit 1; fi\necho 'ok 1 - nothing is broken'\n";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("test.sh", SUITE),
        ("src/a.txt", "one\ntwo\nthree\n"),
        ("README.md", "read me\n"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_is_planned_worked_merged_and_delivered() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let branch = format!("orchestrator/{}", run.id.short());
    assert_eq!(
        git(&repository, &["show", &format!("{branch}:trivial/task-1.txt")]),
        "task-1"
    );
    assert_eq!(
        git(&repository, &["rev-parse", "main"]),
        git(&repository, &["rev-parse", &branch])
    );
    assert_eq!(git(&repository, &["status", "--porcelain"]), "");
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_start_from_the_landed_work_of_their_parents() {
    let harness = Harness::open(Scenario::trivial(6, 2)).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    assert_eq!(harness.end(run.id).await.0, RunState::Complete);
    let tasks = harness.engine.views().tasks(run.id).await.unwrap();
    assert!(tasks.iter().all(|task| task.landed.is_some()));
    for number in 1..=6 {
        let text = std::fs::read_to_string(repository.join(format!("trivial/task-{number}.txt"))).unwrap();
        assert_eq!(text, format!("task-{number}\n"));
    }
    // Each task's own commit is in the branch exactly once.
    let subjects = git(&repository, &["log", "--format=%s", "main"]);
    for number in 1..=6 {
        let own = format!("Write trivial/task-{number}.txt");
        assert_eq!(
            subjects.lines().filter(|subject| **subject == own).count(),
            1,
            "{subjects}"
        );
    }
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_fails_the_gate_goes_back_with_the_gate_output() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("mend", &[])])),
        Rule::worker("mend")
            .attempt(1)
            .call("write_file", file("src/b.txt", "broken\n"))
            .call("finish", done()),
        Rule::worker("mend")
            .from_attempt(2)
            .contains("not ok 1 - nothing is broken")
            .call("write_file", file("src/b.txt", "whole\n"))
            .call("finish", done()),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let merges = harness.engine.views().merges(run.id).await.unwrap();
    let verdicts: Vec<_> = merges.iter().map(|merge| report(merge).verdict).collect();
    assert_eq!(verdicts, [GateVerdict::Failed, GateVerdict::Passed]);
    assert_eq!(
        std::fs::read_to_string(repository.join("src/b.txt")).unwrap(),
        "whole\n"
    );
}

/// Two tasks that change the same line.
fn conflict(resolver: Rule) -> Scenario {
    let edit = |key: &str, new: &str| {
        Rule::worker(key)
            .turn(1)
            .call("edit_file", json!({"path": "src/a.txt", "old": "two\n", "new": new}))
            .call("finish", done())
    };
    let blocked = json!({"outcome": "blocked", "summary": "the other side must decide"});
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("left", &[]), ("right", &[])])),
        edit("left", "two left\n").attempt(1),
        edit("right", "two right\n").attempt(1),
        Rule::worker("*").from_attempt(2).call("finish", blocked),
        resolver,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn resolver_decides_a_conflict_and_keeps_both_sides() {
    let answer = json!({"decision": "replace", "text": "two left\ntwo right\n", "reason": "both", "dropped_lines": []});
    let harness = Harness::open(conflict(Rule::resolver("*").json(&answer))).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    let text = std::fs::read_to_string(repository.join("src/a.txt")).unwrap();
    assert_eq!(text, "one\ntwo left\ntwo right\nthree\n");
    let merges = harness.engine.views().merges(run.id).await.unwrap();
    let decided: Vec<_> = merges.iter().flat_map(|merge| &merge.resolutions).collect();
    assert_eq!(decided.len(), 1);
    assert_eq!(
        (decided[0].layer.as_str(), decided[0].result.as_str()),
        ("model", "resolved")
    );
    harness.assert_requests_were_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_conflict_never_completes_the_run() {
    let answer =
        json!({"decision": "decline", "text": "", "reason": "the intents exclude each other", "dropped_lines": []});
    let harness = Harness::open(conflict(Rule::resolver("*").json(&answer))).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    let (state, reason) = harness.end(run.id).await;
    assert_eq!(state, RunState::Failed);
    assert!(reason.contains("the other side must decide"), "{reason}");
    assert_eq!(
        std::fs::read_to_string(repository.join("src/a.txt")).unwrap(),
        "one\ntwo\nthree\n"
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_path_becomes_a_repository_and_its_run_completes_unchecked() {
    let harness = Harness::open(Scenario::trivial(2, 2)).await;
    let path = harness.directory.path().join("new/place");
    let run = harness.submit(&path, None).await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    assert!(path.join("trivial/task-2.txt").is_file());
    let merges = harness.engine.views().merges(run.id).await.unwrap();
    assert!(
        merges
            .iter()
            .all(|merge| report(merge).verdict == GateVerdict::NotConfigured)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_cap_is_kept_and_reported() {
    // Each turn costs about half a cent and is never the last.
    let usage = Usage {
        prompt_tokens: 2_000,
        completion_tokens: 3_000,
        ..Usage::default()
    };
    let harness = Harness::open(Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("endless", &[])])),
        Rule::worker("endless")
            .call("shell", json!({"command": "date +%N"}))
            .usage(usage),
    ]))
    .await;
    let repository = harness.repository(&files());
    let limits = LimitOverrides {
        cost: Some(NanoDollars(30_000_000)),
        ..LimitOverrides::default()
    };
    let run = harness.submit_with(&repository, Some(CHECK), limits).await.unwrap();
    let (state, reason) = harness.end(run.id).await;
    assert_eq!(state, RunState::Failed, "{reason}");
    assert!(reason.contains("budget of $0.03"), "{reason}");
    let cost = harness.engine.views().run(run.id).await.unwrap().unwrap().cost;
    assert!(
        cost.spent + cost.reserved + cost.lost <= NanoDollars(30_000_000),
        "{cost:?}"
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_stops_its_workers_and_commands() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[]), ("after", &["long"])])),
        Rule::worker("long").call("shell", json!({"command": "sleep 300"})),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    loop {
        let tasks = harness.engine.views().tasks(run.id).await.unwrap();
        if tasks.iter().any(|task| task.action.is_some()) {
            break;
        }
        harness.engine.changed(run.id, i64::MAX).await;
    }
    harness.engine.cancel(run.id).await.unwrap();
    assert_eq!(harness.end(run.id).await.0, RunState::Cancelled);
    // Cancelling again is fine, and nothing of it is left working.
    harness.engine.cancel(run.id).await.unwrap();
    harness.engine.drain().await;
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_continues_and_repeats_no_call() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", file("src/first.txt", "1\n"))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "echo half > src/second.txt; sleep 1"})),
        Rule::worker("second").turn(2).call("finish", done()),
    ]);
    let mut harness = Harness::open(scenario).await;
    let repository = harness.repository(&files());
    let run = harness.submit(&repository, Some(CHECK)).await;
    loop {
        let tasks = harness.engine.views().tasks(run.id).await.unwrap();
        if tasks.iter().any(|task| task.key.0 == "second" && task.turns > 0) {
            break;
        }
        harness.engine.changed(run.id, i64::MAX).await;
    }
    harness.reopen().await;
    assert_eq!(harness.end(run.id).await, (RunState::Complete, String::new()));
    assert_eq!(harness.calls_for("first"), 1);
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}
