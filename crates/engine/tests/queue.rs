//! The merge queue: gates side by side, failures in the middle, flaky tests, a branch that somebody else moved.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::{RunId, gate::GateVerdict, run::RunState};
use harness::{Harness, done, file, git, plan, report};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

/// Says that it has begun, waits until the test lets it go, and fails where a file says `broken`.
const WAITS: &str = r#"mkdir -p "$CARGO_TARGET_DIR"; : > "$CARGO_TARGET_DIR/begun"
until [ -e "$CARGO_TARGET_DIR/go" ]; do sleep 0.02; done
if grep -rq broken src; then echo 'not ok 1 - nothing is broken'; echo 1..1; exit 1; fi
echo 'ok 1 - nothing is broken'; echo 1..1
"#;

/// Fails the first time it is asked about a tree, and never again.
const SHAKY: &str = r#"mkdir -p "$CARGO_TARGET_DIR"; log="$CARGO_TARGET_DIR/log"; echo begun >> "$log"
echo 1..2; echo 'ok 1 - steady'
if [ "$(grep -c begun "$log")" -eq 1 ]; then echo 'not ok 2 - shaky'; exit 1; fi
echo 'ok 2 - shaky'
"#;

fn repository(harness: &Harness, suite: &str) -> PathBuf {
    harness.repository(&[("test.sh", suite), ("src/a.txt", "one\n")])
}

/// A worker that writes one file and is done; a slow one lets others finish first.
fn writes(task: &str, slow: bool) -> Rule {
    let rule = Rule::worker(task);
    let rule = match slow {
        true => rule.call("shell", json!({"command": "sleep 1"})),
        false => rule,
    };
    rule.call("write_file", file(&format!("src/{task}.txt"), &format!("{task}\n")))
        .call("finish", done())
}

/// Each commit of the branch, newest last, with its parents and its tree.
fn chain(repository: &Path, run: RunId) -> Vec<(String, Vec<String>, String)> {
    let branch = format!("orchestrator/{}", run.short());
    let log = git(
        repository,
        &["log", "--first-parent", "--reverse", "--format=%H %T %P", &branch],
    );
    let commit = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap(), words.collect::<Vec<_>>())
    };
    log.lines()
        .map(commit)
        .map(|(commit, tree, parents)| (commit, parents, tree))
        .collect()
}

async fn attempts(harness: &Harness, run: RunId) -> Vec<(String, i32)> {
    let tasks = harness.engine.views().tasks(run).await.unwrap();
    tasks.into_iter().map(|task| (task.key.0, task.attempts)).collect()
}

/// That the branch is the merges that landed, each on the one before it, with the tree that was judged.
async fn assert_landed_as_judged(harness: &Harness, repository: &Path, run: RunId, count: usize) {
    let chain = chain(repository, run);
    assert_eq!(chain.len(), count + 1, "{chain:?}");
    let mut merges = harness.engine.views().merges(run).await.unwrap();
    merges.retain(|merge| merge.merged.is_some() && merge.state == domain::merge::MergeState::Landed);
    assert_eq!(merges.len(), count);
    for pair in chain.windows(2) {
        let [(before, ..), (commit, parents, tree)] = pair else {
            unreachable!()
        };
        let merge = merges
            .iter()
            .find(|merge| merge.merged.as_ref().unwrap().0 == *commit)
            .unwrap();
        assert_eq!(*parents, [before.clone(), merge.commit.0.clone()]);
        assert_eq!(merge.tree.as_ref(), Some(tree));
        assert_eq!(report(merge).verdict, GateVerdict::Passed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_run_in_parallel_and_work_lands_in_order() {
    let rules = [
        Rule::director().json(&plan(&[("a", &[]), ("b", &[]), ("c", &[])])),
        writes("a", false),
        writes("b", false),
        writes("c", false),
    ];
    let harness = Harness::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&harness, WAITS);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&harness, run, 3).await;
    until_side_by_side(&harness, 3).await;
    let_gates_go(&harness);
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&harness, &repository, run, 3).await;
    assert!(attempts(&harness, run).await.iter().all(|(_, attempts)| *attempts == 1));
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_built_on_a_failed_one_are_rebuilt_without_it() {
    let rules = [
        Rule::director().json(&plan(&[("bad", &[]), ("b", &[]), ("c", &[])])),
        Rule::worker("bad")
            .attempt(1)
            .call("write_file", file("src/bad.txt", "broken\n"))
            .call("finish", done()),
        Rule::worker("bad")
            .from_attempt(2)
            .call("write_file", file("src/bad.txt", "whole\n"))
            .call("finish", done()),
        writes("b", true),
        writes("c", true),
    ];
    let harness = Harness::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&harness, WAITS);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&harness, run, 3).await;
    until_side_by_side(&harness, 3).await;
    let_gates_go(&harness);
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&harness, &repository, run, 3).await;
    let attempts = attempts(&harness, run).await;
    let expected = [("bad", 2), ("b", 1), ("c", 1)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!(attempts, expected, "nobody pays for another's failure");
    assert!(
        harness.log(run).await.matches("\"verifying\"").count() > 4,
        "something was built anew"
    );
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_that_fails_once_and_passes_on_the_same_tree_is_flaky() {
    let rules = [Rule::director().json(&plan(&[("a", &[])])), writes("a", false)];
    let harness = Harness::open(Scenario::from_rules(rules.to_vec())).await;
    let repository = repository(&harness, SHAKY);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    assert_eq!(attempts(&harness, run).await, [("a".to_owned(), 1)]);
    let merges = harness.engine.views().merges(run).await.unwrap();
    let report = report(&merges[0]);
    assert_eq!(report.flaky, BTreeSet::from(["shaky".to_owned()]), "{report:?}");
    assert_eq!(report.runs, 2);
    let note = report.note.clone().unwrap_or_default();
    assert!(note.contains("flaky in 2 runs on this very tree: shaky"), "{note}");
    assert!(harness.log(run).await.contains("\"flaky\":[\"shaky\"]"));
}

/// Waits until that many gates have begun.
async fn until_gates(harness: &Harness, run: RunId, count: usize) {
    while harness.log(run).await.matches("\"verifying\"").count() < count {
        harness.engine.changed(run, i64::MAX).await;
    }
}

fn hub(harness: &Harness) -> PathBuf {
    let hubs = std::fs::read_dir(harness.directory.path().join("data/hubs")).unwrap();
    let mut hubs = hubs.map(|entry| entry.unwrap().path());
    // Beside it lies the lock file of its making.
    hubs.find(|path| path.is_dir()).unwrap()
}

/// What each gate that runs beside others keeps for itself.
fn caches(harness: &Harness) -> [PathBuf; 4] {
    let cache = harness
        .directory
        .path()
        .join("data/cache")
        .join(hub(harness).file_stem().unwrap());
    [0, 1, 2, 3].map(|number| cache.join(format!("gate-{number}/target")))
}

/// Waits until so many gates run at one time.
async fn until_side_by_side(harness: &Harness, count: usize) {
    while caches(harness)
        .iter()
        .filter(|cache| cache.join("begun").exists())
        .count()
        < count
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn let_gates_go(harness: &Harness) {
    for cache in caches(harness) {
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::write(cache.join("go"), "").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_during_a_train_loses_nothing_and_repeats_no_call() {
    let rules = [
        Rule::director().json(&plan(&[("a", &[]), ("b", &[]), ("c", &[])])),
        writes("a", false),
        writes("b", false),
        writes("c", false),
    ];
    let mut harness = Harness::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&harness, WAITS);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&harness, run, 3).await;
    harness.reopen().await;
    until_gates(&harness, run, 6).await;
    let_gates_go(&harness);
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&harness, &repository, run, 3).await;
    assert_eq!(["a", "b", "c"].map(|task| harness.calls_for(task)), [1, 1, 1]);
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_moved_by_someone_else_is_never_forced() {
    let rules = [Rule::director().json(&plan(&[("a", &[])])), writes("a", false)];
    let harness = Harness::open(Scenario::from_rules(rules.to_vec())).await;
    let repository = repository(&harness, WAITS);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&harness, run, 1).await;
    let hub = hub(&harness);
    let branch = format!("refs/heads/orchestrator/{}", run.short());
    let tree = git(&hub, &["rev-parse", &format!("{branch}^{{tree}}")]);
    let stranger = git(
        &hub,
        &[
            "-c",
            "user.name=S",
            "-c",
            "user.email=s@localhost",
            "commit-tree",
            &tree,
            "-m",
            "mine",
        ],
    );
    git(&hub, &["update-ref", &branch, &stranger]);
    let_gates_go(&harness);
    let (state, reason) = harness.end(run).await;
    assert_eq!(state, RunState::Failed);
    assert!(reason.contains("someone else moved it"), "{reason}");
    assert_eq!(git(&hub, &["rev-parse", &branch]), stranger);
    harness.assert_rows_agree().await;
}

/// Names a failing test, and hangs where the work says so.
const RED: &str = r#"echo 1..2; echo 'not ok 1 - red from the start'
if [ -e src/a.txt.hangs ]; then sleep 60; fi
if [ -e src/twice.txt ]; then echo 'not ok 2 - red from the start'; else echo 'ok 2 - green'; fi
exit 1
"#;

#[tokio::test(flavor = "multi_thread")]
async fn red_base_excuses_only_what_fails_there() {
    let rules = [
        Rule::director().json(&plan(&[("a", &[]), ("twice", &[]), ("hangs", &[])])),
        writes("a", false),
        writes("twice", false),
        Rule::worker("hangs")
            .call("write_file", file("src/a.txt.hangs", "h\n"))
            .call("finish", done()),
    ];
    let harness = Harness::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.limits.gate_s = 2;
        settings.limits.failures = 1;
    });
    let harness = harness.await;
    let repository = repository(&harness, RED);
    let run = harness.submit(&repository, Some("sh test.sh")).await.id;
    assert_eq!(harness.end(run).await.0, RunState::Failed);
    let tasks = harness.engine.views().tasks(run).await.unwrap();
    let landed: Vec<(&str, bool)> = tasks
        .iter()
        .map(|task| (task.key.0.as_str(), task.landed.is_some()))
        .collect();
    assert_eq!(
        landed,
        [("a", true), ("twice", false), ("hangs", false)],
        "{}",
        harness.log(run).await
    );
}
