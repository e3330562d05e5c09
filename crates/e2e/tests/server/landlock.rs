//! Landlock in the running product.

use e2e::{Product, done, orchestrator, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use std::{path::Path, process::Command};

/// The server's program starts the commands, so the test uses the server: documents and metric agree, and Landlock stops a
/// worker's command.
#[tokio::test(flavor = "multi_thread")]
async fn worker_command_is_under_landlock_if_the_server_reports_it() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("look", &[])])),
        Rule::worker("look")
            .call(
                "shell",
                json!({"command": "if kill -0 1; then echo reached >seen; else echo refused >seen; fi"}),
            )
            .call("finish", done()),
    ]);
    let product = Product::start(scenario).await;
    let ready: Value = reqwest::get(format!("{}/readyz", product.address))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let properties = ready["sandbox_enforcement"].as_array().unwrap();
    let found = properties.iter().find(|found| found["property"] == "landlock").unwrap();
    let metrics = reqwest::get(format!("{}/metrics", product.address)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let enforced = found["state"] == "enforced";
    let line = format!("sandbox_enforced{{property=\"landlock\"}} {}", u8::from(enforced));
    assert!(metrics.contains(&line), "{line}");

    let data_dir = product.data_dir().display().to_string();
    let doctor = orchestrator(
        &["doctor", "--json", "--data-dir", &data_dir],
        &[],
        product.data_dir().parent().unwrap(),
    );
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("landlock"), "{doctor}");

    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = product.submit(&workspace, None).await;
    let ended = product.end(run).await;
    assert_eq!(ended["state"], "complete", "{ended}");
    let seen = e2e::git(&workspace, &["show", "HEAD:seen"]);
    if enforced {
        assert!(seen.starts_with("refused"), "{seen}");
    } else {
        // The launcher is part of the product, so only the kernel can be the reason.
        println!("Landlock is {}: {}", found["state"], found["detail"]);
        assert!(found["detail"].as_str().unwrap().contains("kernel"), "{found}");
    }
}

/// The report of `doctor` on Landlock.
fn doctor(program: &Path, place: &Path) -> Value {
    let output = Command::new(program)
        .args(["doctor", "--json", "--data-dir"])
        .arg(place.join("data"))
        .current_dir(place)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let properties = document["sandbox"].as_array().unwrap_or_else(|| panic!("{document}"));
    let found = properties.iter().find(|found| found["property"] == "landlock");
    found.unwrap_or_else(|| panic!("{document}")).clone()
}

/// The binary alone suffices; the small launcher beside it only starts commands faster.
#[test]
fn program_alone_starts_commands() {
    let (place, whole) = (e2e::directory(), e2e::binary());
    // A hard link beside it, because a copy takes long.
    let alone = tempfile::tempdir_in(whole.parent().unwrap()).unwrap();
    let program = alone.path().join("orchestrator");
    std::fs::hard_link(&whole, &program).unwrap();
    assert_eq!(doctor(&program, place.path()), doctor(&whole, place.path()));
}
