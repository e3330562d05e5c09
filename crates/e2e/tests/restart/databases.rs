//! The database is killed, with and without the server; and an external database.

use crate::{
    barrier::Barrier,
    scene::{Scene, kill_process, postmaster, two_tasks},
};
use e2e::eventually;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::path::Path;
use store::embedded;

/// The second task's work is written but not recorded.
const IN_A_TOOL: (&str, &str) = ("update on tool_call", "new.result is not null and new.name = 'shell'");

#[tokio::test(flavor = "multi_thread")]
async fn killed_database_is_started_by_the_next_start() {
    let mut scene = Scene::open(two_tasks()).await;
    let run = scene.submit().await;
    scene
        .fact(
            "the first task is complete",
            "select 1 from task where key = 'first' and state = 'complete'",
        )
        .await;
    let before = scene.before().await;
    kill_process(scene.postmaster());
    scene.product.kill().await;
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_continues_after_everything_is_killed() {
    let mut scene = Scene::open(two_tasks()).await;
    let barrier = Barrier::before(&scene.database, IN_A_TOOL.0, IN_A_TOOL.1).await;
    let run = scene.submit().await;
    barrier.reached().await;
    let before = scene.before().await;
    let cluster = scene.product.data_dir().join("postgres");
    let processes = working_in(&cluster);
    assert!(processes.len() > 3, "the server and its backends: {processes:?}");
    processes.into_iter().for_each(kill_process);
    scene.product.kill().await;
    drop(barrier);
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_waits_for_a_killed_database() {
    let directory = e2e::directory();
    let cluster = directory.path().join("postgres");
    let options = start(directory.path()).await;
    let url = format!(
        "postgres://orchestrator@localhost/postgres?host={}",
        directory.path().join("sockets").display()
    );
    let scene = Scene::open_on(two_tasks(), Some((url, connect(options).await))).await;
    let barrier = Barrier::before(&scene.database, IN_A_TOOL.0, IN_A_TOOL.1).await;
    let run = scene.submit().await;
    barrier.reached().await;
    let before = scene.before().await;
    kill_process(postmaster(&cluster));
    eventually("the backends follow", || async {
        working_in(&cluster).is_empty().then_some(())
    })
    .await;
    drop(barrier);
    drop(start(directory.path()).await);
    // The server was not restarted.
    scene.assert_completes(run, &before).await;
    kill_process(postmaster(&cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn external_database_is_used_by_its_address() {
    let mut scene = Scene::open_shared(two_tasks()).await;
    let run = scene.submit().await;
    scene
        .fact(
            "the first task is complete",
            "select 1 from task where key = 'first' and state = 'complete'",
        )
        .await;
    let before = scene.kill().await;
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert!(!scene.product.data_dir().join("postgres").exists());
    assert_eq!(scene.product.stop().await, Some(0));
    // It is external, so it does not stop with the server.
    assert_eq!(
        scene.count("select count(*) from run where state = 'complete'").await,
        1
    );
}

/// Starts the test's own cluster in a directory, and creates it if necessary.
async fn start(directory: &Path) -> PgConnectOptions {
    let directory = directory.to_owned();
    let settings = embedded::Settings::default();
    let started = tokio::task::spawn_blocking(move || embedded::start(&directory, &settings))
        .await
        .unwrap();
    started.unwrap().options
}

async fn connect(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .unwrap()
}

/// Every process whose working directory is the cluster's: the server and its children.
fn working_in(cluster: &Path) -> Vec<rustix::process::Pid> {
    let cluster = cluster.canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == cluster))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter_map(rustix::process::Pid::from_raw)
        .collect()
}
