//! SIGKILL at each point where one step is recorded and the next is not.

use crate::{
    barrier::Barrier,
    scene::{Scene, branch, file, two_tasks},
    truth,
};
use domain::RunId;
use e2e::{done, eventually, git, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};

/// Kills the server before a change of a row, starts it again, and lets the run complete.
async fn killed_before(change: &str, when: &str, recorded: impl AsyncFnOnce(&Scene, RunId)) -> Scene {
    let mut scene = Scene::open_shared(two_tasks()).await;
    let barrier = Barrier::before(&scene.database, change, when).await;
    let run = scene.submit().await;
    barrier.reached().await;
    recorded(&scene, run).await;
    let before = scene.kill().await;
    barrier.lift().await;
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    scene
}

/// How often the model was called for a turn of a task.
fn asked(scene: &Scene, task: &str, turn: u32) -> usize {
    let journal = scene.product.journal();
    journal
        .iter()
        .filter(|entry| entry.task.as_deref() == Some(task) && entry.turn == turn)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_prepared_workspace_is_recorded() {
    killed_before(
        "update on run",
        "old.base is null and new.base is not null",
        async |scene, run| {
            assert_eq!(scene.tip(run), git(&scene.repository, &["rev-parse", "main"]));
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_saving_the_plan_it_is_not_requested_again() {
    let scene = killed_before("update on task", "new.state = 'active'", async |scene, _| {
        assert_eq!(
            scene
                .count("select count(*) from event where kind = 'plan_saved'")
                .await,
            1
        );
        assert_eq!(scene.count("select count(*) from task where attempt > 0").await, 0);
    })
    .await;
    let directors = scene
        .product
        .journal()
        .iter()
        .filter(|entry| entry.role == "director")
        .count();
    assert_eq!(directors, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_a_tool_call_its_turn_is_not_requested_again() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", file("work/first", "1\n"))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "echo half > half; sleep 600"})),
        Rule::worker("second")
            .call("write_file", file("work/second", "2\n"))
            .call("finish", done()),
    ]);
    let mut scene = Scene::open_shared(scenario).await;
    let run = scene.submit().await;
    let worktrees = scene.product.data_dir().join("worktrees");
    scene
        .fact(
            "the tool's intent is recorded",
            "select 1 from tool_call where name = 'shell' and result is null",
        )
        .await;
    eventually("the command runs", || async {
        let files = crate::scene::files_below(&worktrees);
        files.iter().any(|path| path.ends_with("half")).then_some(())
    })
    .await;
    let before = scene.kill().await;
    eventually("the command died with the server", || async {
        truth::commands_with(&worktrees.display().to_string())
            .is_empty()
            .then_some(())
    })
    .await;
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert_eq!((asked(&scene, "second", 1), asked(&scene, "second", 2)), (1, 1));
    // The same attempt under a new fence: a restart doesn't count as a failure of the task.
    assert_eq!(
        scene
            .count("select max(attempt)::bigint from task where key = 'second'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_tool_ran_it_does_not_count_as_done() {
    let when = "new.result is not null and new.name = 'shell'";
    let scene = killed_before("update on tool_call", when, async |_, _| {}).await;
    assert_eq!((asked(&scene, "second", 1), asked(&scene, "second", 2)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_recording_a_tree_it_does_not_count_as_saved() {
    let when = "new.ended_at is not null and new.number = 2";
    let scene = killed_before("update on turn", when, async |scene, _| {
        assert_eq!(
            scene
                .count("select count(*) from tool_call where name = 'finish' and result is not null")
                .await,
            2
        );
    })
    .await;
    // The branch contains what the model learned was written.
    assert_eq!(
        std::fs::read_to_string(scene.repository.join("work/half")).unwrap(),
        "half\n"
    );
    assert_eq!(
        std::fs::read_to_string(scene.repository.join("work/second")).unwrap(),
        "2\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_pinning_work_the_task_is_not_repeated() {
    let when = "new.state = 'merging' and new.key = 'second'";
    let scene = killed_before("update on task", when, async |scene, run| {
        let pins = format!("refs/orchestrator/{run}/submission/second/*");
        assert_eq!(
            git(&scene.hub(), &["for-each-ref", "--format=%(refname)", &pins])
                .lines()
                .count(),
            1
        );
    })
    .await;
    assert_eq!(scene.product.calls_for("second"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_the_gate_it_runs_again_without_model_calls() {
    let mut scene = Scene::open_shared(two_tasks()).await;
    let go = scene.signals.path().join("go");
    let check = format!(
        "touch started; until test -e {}; do sleep 0.05; done; sh test.sh",
        go.display()
    );
    let run = scene.product.submit(&scene.repository, Some(&check)).await;
    let worktrees = scene.product.data_dir().join("worktrees");
    eventually("the gate runs", || async {
        let files = crate::scene::files_below(&worktrees);
        files.iter().any(|path| path.ends_with("started")).then_some(())
    })
    .await;
    let calls = scene.product.calls_for("first");
    let before = scene.kill().await;
    std::fs::write(go, "").unwrap();
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert_eq!(scene.product.calls_for("first"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_intent_and_branch_move_landing_finishes_past_the_stale_lock() {
    let mut scene = Scene::open_shared(two_tasks()).await;
    let run = scene.submit().await;
    scene
        .fact(
            "the first task is complete",
            "select 1 from task where key = 'first' and state = 'complete'",
        )
        .await;
    // The state after a crash while the branch moves.
    let lock = scene.hub().join(format!("refs/heads/{}.lock", branch(run)));
    std::fs::write(&lock, "").unwrap();
    let intended = "select 1 from merge where intended_at is not null and ended_at is null";
    scene.fact("the landing is intended", intended).await;
    let tip: String = sqlx::query_scalar("select tip from merge where intended_at is not null and ended_at is null")
        .fetch_one(&scene.database)
        .await
        .unwrap();
    let before = scene.kill().await;
    assert_eq!(scene.tip(run), tip);
    assert!(lock.exists());
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert_eq!(
        scene
            .count("select count(*) from event where kind = 'landing_intended'")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_branch_moved_landing_is_recorded() {
    let scene = killed_before("update on merge", "new.state = 'landed'", async |scene, run| {
        let merged: String = sqlx::query_scalar("select merged from merge where intended_at is not null")
            .fetch_one(&scene.database)
            .await
            .unwrap();
        assert_eq!(scene.tip(run), merged);
    })
    .await;
    assert_eq!(
        scene
            .count("select count(*) from event where kind = 'landing_intended'")
            .await,
        2
    );
    assert_eq!(scene.product.calls_for("first"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_delivery_is_recorded() {
    let scene = killed_before("update on run", "new.state = 'complete'", async |scene, run| {
        assert_eq!(git(&scene.repository, &["rev-parse", &branch(run)]), scene.tip(run));
    })
    .await;
    assert_eq!(git(&scene.repository, &["status", "--porcelain"]), "");
}
