//! The demo's script and repository, played by the test's server.

use domain::RunId;
use e2e::{Product, git};
use serde_json::{Value, json};
use sim_llm::Scenario;
use std::path::{Path, PathBuf};

/// The models of the run, which are in the built-in price table.
pub(crate) const DIRECTOR: &str = "gpt-4o";
pub(crate) const WORKER: &str = "gpt-4o-mini";

/// The demo's script.
pub(crate) fn scenario() -> Scenario {
    Scenario::load(&directory().join("scenario.toml")).expect("the demo's script can be read")
}

/// A copy of the demo's repository, committed.
pub(crate) fn repository(product: &Product) -> PathBuf {
    let repository = product.directory.path().join("repository");
    copy(&directory().join("repo"), &repository);
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    let committer = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    git(
        &repository,
        &[&committer[..], &["commit", "-q", "-m", "first"]].concat(),
    );
    repository
}

/// Submits the objective; the gate is the repository's own test suite.
pub(crate) async fn submit(product: &Product, repository: &Path) -> RunId {
    submit_for(product, repository, "Extend the command report", "sh test.sh").await
}

/// Submits another objective, with the same models.
pub(crate) async fn submit_for(product: &Product, repository: &Path, objective: &str, check: &str) -> RunId {
    let model = |name: &str| json!({"provider": "openai", "model_name": name});
    let body = json!({
        "objective": objective, "workspace_path": repository,
        "orch_config": {"director_model": model(DIRECTOR), "worker_model": model(WORKER), "check": check,
            "max_cost_dollars": 5.0},
    });
    let request = reqwest::Client::new()
        .post(format!("{}/runs", product.address))
        .json(&body);
    let answer: Value = request
        .send()
        .await
        .expect("the server answers")
        .json()
        .await
        .expect("JSON");
    let id = answer["id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("the run was refused: {answer}"))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../orchestrator/demo")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("the demo's repository") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("its type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
