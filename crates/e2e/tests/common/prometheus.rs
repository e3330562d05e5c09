//! A real Prometheus that scrapes the test's server, and `promtool`.

use serde_json::Value;
use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
};

/// A Prometheus process; it ends with the test.
pub(crate) struct Prometheus {
    address: String,
    server: Child,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes `target` (`http://host:port`) several times a second.
    pub(crate) async fn start(target: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let target = target.trim_start_matches("http://");
        let configuration = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs: [{{job_name: agent-orchestrator, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, configuration).expect("its configuration");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let listen = free.expect("a free port").to_string();
        let log = std::fs::File::create(directory.path().join("log")).expect("its log");
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={listen}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is needed; it comes with the package `prometheus`");
        let prometheus = Self {
            address: format!("http://{listen}"),
            server,
            _directory: directory,
        };
        e2e::eventually("prometheus scrapes the server", || async {
            prometheus.ask("up == 1").await.ok().filter(|found| !found.is_empty())
        })
        .await;
        prometheus
    }

    /// The current values of a query.
    pub(crate) async fn query(&self, query: &str) -> Vec<f64> {
        self.ask(query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn ask(&self, query: &str) -> Result<Vec<f64>, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.address), [("query", query)])
            .map_err(|error| error.to_string())?;
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let found = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let value = |one: &Value| one["value"][1].as_str().and_then(|number| number.parse().ok());
        found
            .iter()
            .map(|one| value(one).ok_or_else(|| one.to_string()))
            .collect()
    }

    /// Its own metrics.
    pub(crate) async fn own_metrics(&self) -> String {
        let answer = reqwest::get(format!("{}/metrics", self.address))
            .await
            .expect("its metrics");
        answer.text().await.expect("its metrics are text")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// The findings of `promtool check metrics`.
pub(crate) fn promtool_output(scrape: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed; it comes with the package `prometheus`");
    let mut input = promtool.stdin.take().expect("its input");
    input.write_all(scrape.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("its verdict");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
