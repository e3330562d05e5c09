//! What ended runs left is given up, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use domain::{RunId, run::RunState};
use engine::{Area, CleanMode, DeliverError};
use harness::{Harness, git};
use sim_llm::{Rule, Scenario};
use std::{path::PathBuf, time::Duration};

const DAY: Duration = Duration::from_secs(86_400);

fn hub(harness: &Harness) -> PathBuf {
    let mut hubs = std::fs::read_dir(harness.directory.path().join("data/hubs")).unwrap();
    hubs.find_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
        .unwrap()
}

fn references(harness: &Harness, run: RunId) -> usize {
    let (own, branch) = (
        format!("refs/orchestrator/{run}/"),
        format!("refs/heads/orchestrator/{}", run.short()),
    );
    git(&hub(harness), &["for-each-ref", "--format=%(refname)", &own, &branch])
        .lines()
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_run_expires_and_its_branch_and_younger_and_running_runs_stay() {
    let harness = Harness::open(Scenario::trivial(2, 1)).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let old = harness.submit(&repository, None).await.id;
    assert_eq!(harness.end(old).await.0, RunState::Complete);
    let young = harness.submit(&repository, None).await.id;
    // The same work again changes nothing, so this one fails: what it left is kept as long as any other's.
    assert_eq!(harness.end(young).await.0, RunState::Failed);
    let kept = (references(&harness, old), references(&harness, young));
    assert!(kept.0 > 2 && kept.1 > 1, "{kept:?}");
    // Nothing is old enough yet.
    assert_eq!(
        harness.engine.clean(Some(DAY), CleanMode::Remove).await.unwrap().runs,
        []
    );
    assert_eq!((references(&harness, old), references(&harness, young)), kept);

    sqlx::query("update run set ended_at = now() - interval '2 days' where id = $1")
        .bind(old.0)
        .execute(harness.database.pool())
        .await
        .unwrap();
    let outputs = harness
        .directory
        .path()
        .join("data/outputs")
        .join(old.0.simple().to_string());
    std::fs::create_dir_all(&outputs).unwrap();
    std::fs::write(outputs.join("log"), vec![7; 100_000]).unwrap();
    let dry = harness.engine.clean(Some(DAY), CleanMode::DryRun).await.unwrap();
    assert_eq!((references(&harness, old), references(&harness, young)), kept);
    assert!(outputs.exists());
    let given_up = harness.engine.clean(Some(DAY), CleanMode::Remove).await.unwrap();
    assert_eq!(dry.runs, given_up.runs, "a dry run says what is then done");
    let [line] = &given_up.runs[..] else {
        panic!("{given_up:?}")
    };
    assert_eq!((line.run, line.trees, line.references), (old, true, kept.0 as u64));
    assert!(line.output_bytes >= 100_000 && line.hub_bytes > 0, "{line:?}");
    assert_eq!(given_up.freed[&Area::Outputs], line.output_bytes);
    assert_eq!((references(&harness, old), references(&harness, young)), (0, kept.1));
    assert!(!outputs.exists());
    assert!(!git(&repository, &["rev-parse", &format!("orchestrator/{}", old.short())]).is_empty());
    let detail = harness.engine.views().run(old).await.unwrap().unwrap();
    assert!(detail.expired_at.is_some());
    assert!(matches!(
        harness.engine.deliver(old, false).await,
        Err(DeliverError::Refused(_))
    ));
    // Twice: there is nothing left to do, and it is told once.
    let again = harness.engine.clean(Some(DAY), CleanMode::Remove).await.unwrap();
    assert!(again.is_nothing(), "{again:?}");
    assert_eq!(harness.log(old).await.matches(" run_expired ").count(), 1);
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_leftovers_of_marked_run_are_removed_in_next_round() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, None).await.id;
    harness.end(run).await;
    // As a process leaves it that dies between the mark and the disk.
    sqlx::query("update run set expired_at = now() where id = $1")
        .bind(run.0)
        .execute(harness.database.pool())
        .await
        .unwrap();
    assert!(references(&harness, run) > 0);
    let given_up = harness.engine.clean(Some(DAY), CleanMode::Remove).await.unwrap();
    assert!(given_up.references > 0);
    assert_eq!(references(&harness, run), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_run_keeps_everything() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&harness::plan(&[("long", &[])])),
        Rule::worker("long").call("shell", serde_json::json!({"command": "sleep 300"})),
    ]);
    let harness = Harness::open(scenario).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let run = harness.submit(&repository, None).await.id;
    while harness
        .engine
        .views()
        .tasks(run)
        .await
        .unwrap()
        .iter()
        .all(|task| task.action.is_none())
    {
        harness.engine.changed(run, i64::MAX).await;
    }
    let before = references(&harness, run);
    assert_eq!(
        harness
            .engine
            .clean(Some(Duration::ZERO), CleanMode::Remove)
            .await
            .unwrap()
            .runs,
        []
    );
    assert_eq!(references(&harness, run), before);
    harness.engine.cancel(run).await.unwrap();
    harness.end(run).await;
    harness.engine.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_of_the_last_round_survives_a_restart() {
    let cleaned_at = async |harness: &Harness| {
        let asked = sqlx::query_scalar::<_, Option<time::OffsetDateTime>>("select cleaned_at from process");
        asked.fetch_one(harness.database.pool()).await.unwrap()
    };
    let mut harness = Harness::open(Scenario::from_rules(Vec::new())).await;
    harness.engine.clean(Some(DAY), CleanMode::DryRun).await.unwrap();
    assert_eq!(cleaned_at(&harness).await, None, "a dry run is no round");
    harness.engine.clean(Some(DAY), CleanMode::Remove).await.unwrap();
    let first = cleaned_at(&harness).await;
    assert!(first.is_some());
    harness.reopen().await;
    assert_eq!(cleaned_at(&harness).await, first);
}
