//! A full disk: at start, below the configured floor, and during work.
//!
//! The disk is a small tmpfs in bubblewrap, which works for root and ordinary users.

use crate::support::{Untouched, announced, body, mistakes, says};
use e2e::{TIMEOUT, binary, directory, done, eventually, git, plan, repository};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server};
use std::{
    path::Path,
    process::{Command, Stdio},
};
use tokio::process::Child;

/// A command whose data directory is on a disk of this size.
fn on_a_disk(data_dir: &Path, bytes: u64, arguments: &[&str]) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args([
            "--dev-bind",
            "/",
            "/",
            "--die-with-parent",
            "--size",
            &bytes.to_string(),
            "--tmpfs",
        ])
        .arg(data_dir);
    if rustix::process::geteuid().is_root() {
        // Root keeps its capabilities, as without bubblewrap.
        command.args(["--cap-add", "ALL"]);
    }
    command
        .arg("--")
        .arg(binary())
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir);
    command.env_remove("DATABASE_URL").stdin(Stdio::null());
    command
}

#[test]
fn too_small_disk_is_reported_for_the_private_server() {
    let place = directory();
    let data_dir = place.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--sandbox", "none"];
    for megabytes in [1, 30] {
        let output = on_a_disk(&data_dir, megabytes << 20, &arguments).output().unwrap();
        let wrong = mistakes(&output, 3, &["no space left", data_dir.to_str().unwrap(), "--data-dir"]);
        assert!(
            wrong.is_empty(),
            "{megabytes} MiB: {wrong:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A server on a small disk.
struct Served {
    server: Child,
    announced: Value,
    log: std::path::PathBuf,
    _model: Server,
}

impl Served {
    async fn start(place: &Path, bytes: u64, floor: u64, scenario: Scenario) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let data_dir = place.join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let configuration = place.join("orchestrator.toml");
        std::fs::write(&configuration, format!("[engine]\ndisk_floor_bytes = {floor}\n")).unwrap();
        let model = Server::start(scenario, Options::default()).await.unwrap();
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--sandbox",
            "none",
            "--json",
            "--config",
        ];
        let arguments = [&arguments[..], &[configuration.to_str().unwrap()]].concat();
        let log = place.join("server.log");
        let mut command = on_a_disk(&data_dir, bytes, &arguments);
        command
            .env("OPENAI_BASE_URL", model.base_url())
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef");
        let (server, announced) = announced(command, &log).await;
        Self {
            server,
            announced,
            log,
            _model: model,
        }
    }

    /// Stops it cleanly: otherwise its private Postgres would keep the disk in use.
    async fn stop(mut self) {
        let pid = i32::try_from(self.announced["pid"].as_i64().unwrap())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = tokio::time::timeout(TIMEOUT, self.server.wait())
            .await
            .expect("it stops")
            .unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.announced["address"].as_str().unwrap())
    }

    async fn get(&self, path: &str) -> Option<Value> {
        Client::new().get(self.url(path)).send().await.ok()?.json().await.ok()
    }

    async fn submit(&self, workspace: &Path) -> String {
        let request = Client::new().post(self.url("/runs")).json(&body(workspace, "scripted"));
        let accepted: Value = request.send().await.unwrap().json().await.unwrap();
        accepted["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{accepted:#}"))
            .to_owned()
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

/// A worker that fills the disk before it does its task.
fn filling() -> Scenario {
    let fill = "dd if=/dev/zero of=fill bs=1M count=4000 2>&1 | grep -v records; rm -f fill; echo 2 > b";
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("fill", &[])])),
        Rule::worker("fill").turn(1).call("shell", json!({"command": fill})),
        Rule::worker("fill").turn(2).call("finish", done()),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_that_fills_up_during_work_loses_nothing() {
    let place = directory();
    let workspace = repository(&place.path().join("repository"), &[("a", "1\n")]);
    let served = Served::start(place.path(), 160 << 20, 1 << 20, filling()).await;
    let run = served.submit(&workspace).await;
    let ended = eventually("the run ends", || async {
        let run = served.get(&format!("/runs/{run}")).await?;
        matches!(run["state"].as_str(), Some("complete" | "failed")).then_some(run)
    })
    .await;
    let task = served.get(&format!("/runs/{run}/tasks/fill")).await.unwrap();
    assert_eq!(ended["state"], "complete", "{ended:#}\n{task:#}\n{}", served.log());
    says(&task.to_string(), &["No space left on device"]);
    assert_eq!(
        git(
            &workspace,
            &["show", &format!("{}:b", ended["branch"].as_str().unwrap())]
        ),
        "2"
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_rejected_below_the_disk_floor() {
    let place = directory();
    let workspace = repository(&place.path().join("repository"), &[("a", "1\n")]);
    let before = Untouched::now(&workspace);
    let served = Served::start(place.path(), 160 << 20, 512 << 20, filling()).await;
    let request = Client::new()
        .post(served.url("/runs"))
        .json(&body(&workspace, "scripted"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("disk_floor_bytes") && detail.contains("512 MiB"),
        "{detail}"
    );
    let readiness = served.get("/readyz").await.unwrap();
    assert_eq!(readiness["disk_floor_bytes"], 512 << 20, "{readiness:#}");
    assert!(
        readiness["disk_free_bytes"].as_u64().unwrap() < 512 << 20,
        "{readiness:#}"
    );
    assert_eq!(Untouched::now(&workspace), before);
    served.stop().await;
}
