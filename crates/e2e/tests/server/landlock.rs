//! The second wall around commands, in the product that runs.

use e2e::{Product, done, orchestrator, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use std::{path::Path, process::Command};

/// The server's own program starts the commands, so it is looked at in the server: the documents and the metric agree,
/// and a worker's command meets the wall.
#[tokio::test(flavor = "multi_thread")]
async fn a_workers_command_is_under_landlock_where_the_server_says_so() {
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
        // The product brings the program along: only the kernel can be the reason.
        println!("Landlock is {}: {}", found["state"], found["detail"]);
        assert!(found["detail"].as_str().unwrap().contains("kernel"), "{found}");
    }
}

/// What `doctor` says of Landlock, and on failure all that it says.
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

/// Whoever copies one file has everything; the small program beside it only makes the start of a command shorter.
#[test]
fn the_program_alone_starts_commands_as_well() {
    let (place, whole) = (e2e::directory(), e2e::binary());
    // Beside it, as a copy takes long and a link to another disk is refused.
    let alone = tempfile::tempdir_in(whole.parent().unwrap()).unwrap();
    let program = alone.path().join("orchestrator");
    std::fs::hard_link(&whole, &program).unwrap();
    assert_eq!(doctor(&program, place.path()), doctor(&whole, place.path()));
}
