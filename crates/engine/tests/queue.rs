//! The merge queue: gates side by side, failures in the middle, flaky tests, a branch that somebody else moved.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod house;

use domain::{RunId, run::RunState};
use house::{House, done, file, git, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::path::{Path, PathBuf};

/// Fails where a file says `broken`, but not before three checks have begun: alone, it never ends.
const THREE_AT_ONCE: &str = r#"mkdir -p "$CARGO_TARGET_DIR"; log="$CARGO_TARGET_DIR/log"; echo begun >> "$log"
tries=0
until [ "$(grep -c begun "$log")" -ge 3 ]; do
  tries=$((tries + 1)); [ $tries -lt 400 ] || { echo 'not ok 1 - nobody came'; echo 1..1; exit 1; }
  sleep 0.05
done
if grep -rq broken src; then echo 'not ok 1 - nothing is broken'; echo 1..1; exit 1; fi
echo 'ok 1 - nothing is broken'; echo 1..1
"#;

/// Fails the first time it is asked about a tree, and never again.
const SHAKY: &str = r#"mkdir -p "$CARGO_TARGET_DIR"; log="$CARGO_TARGET_DIR/log"; echo begun >> "$log"
echo 1..2; echo 'ok 1 - steady'
if [ "$(grep -c begun "$log")" -eq 1 ]; then echo 'not ok 2 - shaky'; exit 1; fi
echo 'ok 2 - shaky'
"#;

/// Waits for a file that the test makes.
const WAITS: &str = r#"mkdir -p "$CARGO_TARGET_DIR"
until [ -e "$CARGO_TARGET_DIR/go" ]; do sleep 0.02; done
echo 1..1; echo 'ok 1 - all'
"#;

fn repository(house: &House, suite: &str) -> PathBuf {
    house.repository(&[("test.sh", suite), ("src/a.txt", "one\n")])
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

async fn attempts(house: &House, run: RunId) -> Vec<(String, i32)> {
    let tasks = house.engine.views().tasks(run).await.unwrap();
    tasks.into_iter().map(|task| (task.key.0, task.attempts)).collect()
}

/// That the branch is the merges that landed, each on the one before it, with the tree that was judged.
async fn assert_landed_as_judged(house: &House, repository: &Path, run: RunId, count: usize) {
    let chain = chain(repository, run);
    assert_eq!(chain.len(), count + 1, "{chain:?}");
    let mut merges = house.engine.views().merges(run).await.unwrap();
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
        assert_eq!(merge.gate.as_ref().unwrap()["verdict"], "passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_run_side_by_side_and_their_work_lands_in_order() {
    let rules = [
        Rule::director().json(&plan(&[("a", &[]), ("b", &[]), ("c", &[])])),
        writes("a", false),
        writes("b", false),
        writes("c", false),
    ];
    let house = House::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&house, THREE_AT_ONCE);
    let run = house.submit(&repository, Some("sh test.sh")).await.id;
    assert_eq!(house.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&house, &repository, run, 3).await;
    assert!(attempts(&house, run).await.iter().all(|(_, attempts)| *attempts == 1));
    house.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_on_a_failure_is_built_anew_without_it() {
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
    let house = House::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&house, THREE_AT_ONCE);
    let run = house.submit(&repository, Some("sh test.sh")).await.id;
    assert_eq!(house.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&house, &repository, run, 3).await;
    let attempts = attempts(&house, run).await;
    let expected = [("bad", 2), ("b", 1), ("c", 1)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!(attempts, expected, "nobody pays for another's failure");
    assert!(
        house.log(run).await.matches("\"verifying\"").count() > 4,
        "something was built anew"
    );
    house.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_once_and_passes_on_the_same_tree_is_reported_as_flaky() {
    let rules = [Rule::director().json(&plan(&[("a", &[])])), writes("a", false)];
    let house = House::open(Scenario::from_rules(rules.to_vec())).await;
    let repository = repository(&house, SHAKY);
    let run = house.submit(&repository, Some("sh test.sh")).await.id;
    assert_eq!(house.end(run).await, (RunState::Complete, String::new()));
    assert_eq!(attempts(&house, run).await, [("a".to_owned(), 1)]);
    let merges = house.engine.views().merges(run).await.unwrap();
    let gate = merges[0].gate.clone().unwrap();
    assert_eq!(
        (&gate["flaky"], &gate["runs"]),
        (&json!(["shaky"]), &json!(2)),
        "{gate}"
    );
    assert!(
        gate["note"]
            .as_str()
            .unwrap()
            .contains("flaky in 2 runs on this very tree: shaky")
    );
    assert!(house.log(run).await.contains("\"flaky\":[\"shaky\"]"));
}

/// Waits until that many gates have begun.
async fn until_gates(house: &House, run: RunId, count: usize) {
    while house.log(run).await.matches("\"verifying\"").count() < count {
        house.engine.changed(run, i64::MAX).await;
    }
}

fn hub(house: &House) -> PathBuf {
    let hubs = std::fs::read_dir(house.folder.path().join("data/hubs")).unwrap();
    let mut hubs = hubs.map(|entry| entry.unwrap().path());
    // Beside it lies the lock file of its making.
    hubs.find(|path| path.is_dir()).unwrap()
}

fn let_gates_go(house: &House) {
    let cache = house
        .folder
        .path()
        .join("data/cache")
        .join(hub(house).file_stem().unwrap());
    let target = cache.join("gate/target");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("go"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_a_train_loses_nothing_and_asks_nobody_again() {
    let rules = [
        Rule::director().json(&plan(&[("a", &[]), ("b", &[]), ("c", &[])])),
        writes("a", false),
        writes("b", false),
        writes("c", false),
    ];
    let mut house = House::open_with(Scenario::from_rules(rules.to_vec()), |settings| {
        settings.gates_ahead = 2
    })
    .await;
    let repository = repository(&house, WAITS);
    let run = house.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&house, run, 3).await;
    house.reopen().await;
    until_gates(&house, run, 6).await;
    let_gates_go(&house);
    assert_eq!(house.end(run).await, (RunState::Complete, String::new()));
    assert_landed_as_judged(&house, &repository, run, 3).await;
    assert_eq!(["a", "b", "c"].map(|task| house.calls_for(task)), [1, 1, 1]);
    house.assert_requests_were_sound();
    house.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_somebody_else_moved_is_never_forced() {
    let rules = [Rule::director().json(&plan(&[("a", &[])])), writes("a", false)];
    let house = House::open(Scenario::from_rules(rules.to_vec())).await;
    let repository = repository(&house, WAITS);
    let run = house.submit(&repository, Some("sh test.sh")).await.id;
    until_gates(&house, run, 1).await;
    let hub = hub(&house);
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
    let_gates_go(&house);
    let (state, reason) = house.end(run).await;
    assert_eq!(state, RunState::Failed);
    assert!(reason.contains("someone else moved it"), "{reason}");
    assert_eq!(git(&hub, &["rev-parse", &branch]), stranger);
    house.assert_rows_agree().await;
}
