//! A second start on one data directory, a clean stop, and an interrupted start.

use crate::scene::{Scene, file, two_tasks};
use e2e::{binary, done, eventually, orchestrator, plan};
use serde_json::json;
use sim_llm::{Options, Rule, Scenario, Server};

#[tokio::test(flavor = "multi_thread")]
async fn second_server_on_one_data_directory_is_rejected() {
    let scene = Scene::open_shared(two_tasks()).await;
    let data_dir = scene.product.data_dir();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let second = orchestrator(&arguments, &[], scene.signals.path());
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(data_dir.to_str().unwrap()), "{said}");
    assert!(said.contains("(process "), "{said}");
    // The first one is unaffected.
    let ready = reqwest::get(format!("{}/readyz", scene.product.address)).await.unwrap();
    assert!(ready.status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn next_start_continues_the_work_of_a_stopped_server() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", file("work/first", "1\n"))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("write_file", file("work/half", "half\n")),
        Rule::worker("second")
            .turn(2)
            .call("shell", json!({"command": "sleep 600"})),
        Rule::worker("second")
            .call("write_file", file("work/second", "2\n"))
            .call("finish", done()),
    ]);
    let mut scene = Scene::open(scenario).await;
    let run = scene.submit().await;
    scene
        .fact(
            "the command runs",
            "select 1 from tool_call where name = 'shell' and result is null",
        )
        .await;
    let before = scene.before().await;
    assert_eq!(scene.product.stop().await, Some(0));
    // The private database was stopped, too.
    assert!(!scene.product.data_dir().join("postgres/postmaster.pid").exists());
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert_eq!(scene.product.calls_for("second"), 3);
    assert_eq!(
        scene
            .count("select max(attempt)::bigint from task where key = 'second'")
            .await,
        1
    );
    assert_eq!(
        scene
            .count("select count(*) from event where kind = 'task_recovered'")
            .await,
        0
    );
    assert_eq!(
        std::fs::read_to_string(scene.repository.join("work/half")).unwrap(),
        "half\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_first_start_is_repeated() {
    let directory = e2e::directory();
    let data_dir = directory.path().join("data");
    let mut first = tokio::process::Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data_dir)
        .current_dir(directory.path())
        .env_remove("DATABASE_URL")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("the cluster is being made", || async {
        let mut entries = std::fs::read_dir(&data_dir).ok()?.flatten();
        entries.find(|entry| entry.file_name().to_string_lossy().starts_with("postgres.new-"))
    })
    .await;
    first.kill().await.unwrap();
    let model = Server::start(two_tasks(), Options::default()).await.unwrap();
    let (mut server, address) = e2e::serve(directory.path(), &model.base_url(), &[]).await;
    let runs: serde_json::Value = reqwest::get(format!("{address}/runs"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(runs["runs"], json!([]), "{runs}");
    server.kill().await.unwrap();
    crate::scene::kill_process(crate::scene::postmaster(&data_dir.join("postgres")));
}
