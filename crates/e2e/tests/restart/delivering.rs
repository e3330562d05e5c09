//! SIGKILL between a push and its record, and a repeated delivery on the command line.

use crate::{
    barrier::Barrier,
    scene::{Scene, two_tasks},
};
use e2e::{git, orchestrator};
use serde_json::Value;
use std::path::PathBuf;

/// A bare repository to which the scene's runs are pushed from now on.
async fn push_to_a_remote(scene: &mut Scene) -> PathBuf {
    let directory = scene.signals.path().to_owned();
    let remote = directory.join("remote.git");
    git(&directory, &["init", "-q", "--bare", "remote.git"]);
    let config = directory.join("orchestrator.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let delivery = format!(
        "[workspaces.own]\npath = {:?}\n[workspaces.own.delivery.push]\naddress = {remote:?}\n",
        scene.repository
    );
    std::fs::write(&config, text + &delivery).unwrap();
    scene.product.kill().await;
    scene.product.start_again().await;
    remote
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_push_and_record_the_push_is_recognised() {
    let mut scene = Scene::open_shared(two_tasks()).await;
    let remote = push_to_a_remote(&mut scene).await;
    let when = r#"jsonb_path_exists(new.delivery, '$.steps[*] ? (@.step == "push")')"#;
    let barrier = Barrier::before(&scene.database, "update on run", when).await;
    let run = scene.submit().await;
    barrier.reached().await;
    let branch = format!("refs/heads/{}", crate::scene::branch(run));
    assert_eq!(git(&remote, &["rev-parse", &branch]), scene.tip(run));
    let before = scene.kill().await;
    barrier.lift().await;
    scene.product.start_again().await;
    scene.assert_completes(run, &before).await;
    assert_eq!(
        scene
            .count("select count(*) from event where kind = 'push_intended'")
            .await,
        1
    );
    let pushed = "select count(*) from event where kind = 'delivery_step_ended' and data ->> 'step' = 'push'
                    and data ->> 'result' = 'already'";
    assert_eq!(scene.count(pushed).await, 1);

    // Repeated on the command line: everything is delivered already, and the run is unchanged.
    let data_dir = scene.product.data_dir();
    let arguments = [
        "deliver",
        &run.short(),
        "--json",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let output = orchestrator(&arguments, &[], scene.signals.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["state"], "complete");
    let steps = document["delivery"]["steps"].as_array().unwrap();
    for step in ["branch", "push"] {
        assert!(
            steps
                .iter()
                .any(|done| done["step"] == step && done["result"] == "already"),
            "{document}"
        );
    }
    let arguments = ["show", &run.short(), "--data-dir", data_dir.to_str().unwrap()];
    let shown = String::from_utf8(orchestrator(&arguments, &[], scene.signals.path()).stdout).unwrap();
    assert!(shown.contains("push      already"), "{shown}");
}
