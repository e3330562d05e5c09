//! End-to-end test support: the real binary in its own process, with its private Postgres and a scripted model over real
//! HTTP.
//!
//! The tests use the binary in the target directory. `cargo build --workspace` builds it, and `./test` does that first.

pub mod aimock;
pub mod truth;

use api::Client;
use domain::RunId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
pub use sim_llm::answers::{done, plan};
use sim_llm::{Entry, Options, Scenario, Server};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tokio::process::Child;

/// The time limit for any fact to appear: a guard against hanging, not a performance assertion.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// How often a fact is polled.
const LOOK: Duration = Duration::from_millis(10);

/// The binary under test.
pub fn binary() -> PathBuf {
    // target/<profile>/deps/<test> → target/<profile>/orchestrator
    let test = std::env::current_exe().expect("the test has a path");
    let directory = test
        .parent()
        .and_then(Path::parent)
        .expect("the test lies in target/<profile>/deps");
    let binary = directory.join("orchestrator");
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build --workspace` first",
        binary.display()
    );
    binary
}

/// A temporary directory that the database's user may enter, even if the test runs as root.
pub fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .prefix("orchestrator-")
        .permissions(open)
        .tempdir()
        .expect("a temporary directory")
}

/// A server process with its model and directory.
pub struct Product {
    /// Data directory, repositories and logs.
    pub directory: tempfile::TempDir,
    /// The scripted model.
    pub model: Server,
    /// The typed client of the running server.
    pub client: Client,
    /// Its address: `http://127.0.0.1:…`.
    pub address: String,
    server: Child,
    /// Additional environment variables of the server.
    environment: Vec<(String, String)>,
}

impl Product {
    /// Starts `orchestrator serve` with a model that plays a scenario.
    pub async fn start(scenario: Scenario) -> Self {
        Self::start_with(scenario, &[]).await
    }

    /// The same, with additional environment variables.
    pub async fn start_with(scenario: Scenario, environment: &[(&str, &str)]) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let directory = directory();
        let model = Server::start(scenario, Options::default())
            .await
            .expect("the scripted model starts");
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (server, address) = serve(directory.path(), &model.base_url(), &environment).await;
        let client = Client::new(&address, None).expect("a client");
        Self {
            directory,
            model,
            client,
            address,
            server,
            environment,
        }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Kills the server with SIGKILL, as in a power cut.
    pub async fn kill(&mut self) {
        self.server.kill().await.expect("the server is killed");
    }

    /// Starts the server again on the same data directory.
    pub async fn start_again(&mut self) {
        let (server, address) = serve(self.directory.path(), &self.model.base_url(), &self.environment).await;
        self.server = server;
        self.client = Client::new(&address, None).expect("a client");
        self.address = address;
    }

    /// Stops the server with SIGTERM, waits for its end and returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        let pid = self
            .server
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("the server runs"), rustix::process::Signal::TERM)
            .expect("the server can be sent SIGTERM");
        let status = tokio::time::timeout(TIMEOUT, self.server.wait())
            .await
            .expect("the server stops in time");
        status.expect("the server's status").code()
    }

    /// A repository on `main` with these files committed.
    pub fn repository(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        repository(&self.directory.path().join(name), files)
    }

    /// Submits a run over HTTP.
    pub async fn submit(&self, workspace: &Path, check: Option<&str>) -> RunId {
        submit(&self.address, workspace, check)
            .await
            .expect("the server answers")
    }

    /// Waits for the run to end and returns it as the API shows it.
    pub async fn end(&self, run: RunId) -> Value {
        let url = format!("{}/runs/{run}", self.address);
        eventually("the run ends", || async {
            let body: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
            matches!(body["state"].as_str(), Some("complete" | "failed" | "cancelled")).then_some(body)
        })
        .await
    }

    /// The private database of the data directory.
    pub async fn database(&self) -> PgPool {
        database_of(&self.data_dir()).await
    }

    /// The number of model calls for a task.
    pub fn calls_for(&self, task: &str) -> usize {
        self.journal()
            .iter()
            .filter(|entry| entry.task.as_deref() == Some(task))
            .count()
    }

    /// The requests to the model.
    pub fn journal(&self) -> Vec<Entry> {
        self.model.journal()
    }

    /// The server's standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Product {
    /// Stops the private database, which outlives the server.
    fn drop(&mut self) {
        // Both may have ended already.
        drop(self.server.start_kill());
        stop_database(&self.data_dir());
    }
}

/// The private database of a data directory.
pub async fn database_of(data_dir: &Path) -> PgPool {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(socket_directory(data_dir))
        .username("orchestrator")
        .database("postgres");
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .expect("the private database answers")
}

/// Stops it, if it runs.
pub fn stop_database(data_dir: &Path) {
    let text = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid"));
    let pid = text.ok().and_then(|text| text.lines().next()?.trim().parse().ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap_or_default();
    }
}

/// Submits a run to the server at an address; an error if it does not answer.
pub async fn submit(address: &str, workspace: &Path, check: Option<&str>) -> reqwest::Result<RunId> {
    let model = json!({"provider": "openai", "model_name": "scripted"});
    let mut config = json!({"director_model": model, "worker_model": model});
    if let Some(check) = check {
        config["check"] = json!(check);
    }
    let body = json!({"objective": "Do what the plan says", "workspace_path": workspace, "orch_config": config});
    let answer = reqwest::Client::new()
        .post(format!("{address}/runs"))
        .json(&body)
        .send()
        .await?;
    let status = answer.status();
    let body: Value = answer.json().await?;
    assert_eq!(status, 201, "{body}");
    let id = body["id"].as_str().and_then(|id| id.parse().ok());
    Ok(id.expect("the answer has an id"))
}

/// The socket directory of a data directory's Postgres, from its pid file.
fn socket_directory(data_dir: &Path) -> PathBuf {
    for entry in walk(data_dir) {
        if entry.file_name().is_some_and(|name| name == "postmaster.pid") {
            let text = std::fs::read_to_string(&entry).expect("the pid file can be read");
            return text
                .lines()
                .nth(4)
                .map(PathBuf::from)
                .expect("the pid file names the socket's directory");
        }
    }
    panic!("no private Postgres under {}", data_dir.display());
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let inner = entry.path().join("postmaster.pid");
            [entry.path(), inner]
        })
        .filter(|path| path.is_file())
        .collect()
}

/// Starts `orchestrator serve` with its data in a directory; returns the process and its address when it is ready.
pub async fn serve(directory: &Path, model: &str, environment: &[(String, String)]) -> (Child, String) {
    let data_dir = directory.join("data");
    let mut command = server(&[], &data_dir, model);
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("server.log"))
        .expect("a file for the log");
    command
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(log);
    forget_address(&data_dir);
    let child = command.spawn().expect("the server starts");
    let address = eventually("the server is ready", || ready(&data_dir)).await;
    (child, address)
}

/// The command of a server, optionally run by another program such as `strace` with its arguments.
pub fn server(by: &[&str], data_dir: &Path, model: &str) -> tokio::process::Command {
    process(by, "serve", data_dir, model)
}

/// The same for `serve` or `worker`.
pub fn process(by: &[&str], command: &str, data_dir: &Path, model: &str) -> tokio::process::Command {
    // For clients of the server.
    drop(rustls::crypto::ring::default_provider().install_default());
    let binary = binary();
    let binary = binary.to_str().expect("the binary's path is UTF-8");
    let mut words = by
        .iter()
        .copied()
        .chain([binary, command, "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut command = tokio::process::Command::new(words.next().expect("a program"));
    command
        .args(words)
        .arg(data_dir)
        .current_dir(data_dir.parent().expect("a data directory lies in a directory"))
        .env("OPENAI_BASE_URL", model)
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Sends a signal to a process that may have ended.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        kill_process(pid, signal).unwrap_or_default();
    }
}

/// Removes the address that a killed server left, so that the next one read is new.
pub fn forget_address(data_dir: &Path) {
    drop(std::fs::remove_file(data_dir.join("server.json")));
}

/// The address of the server of a data directory, once it is ready.
pub async fn ready(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("server.json")).ok()?;
    let address = serde_json::from_str::<Value>(&text).ok()?["address"]
        .as_str()?
        .to_owned();
    let answer = reqwest::get(format!("{address}/readyz")).await.ok()?;
    answer.status().is_success().then_some(address)
}

/// Waits until a fact appears; panics after [`TIMEOUT`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(TIMEOUT, looking).await {
        Ok(found) => found,
        Err(_) => panic!("not within {TIMEOUT:?}: {what}"),
    }
}

/// Runs the binary to its end, without the caller's settings.
pub fn orchestrator(arguments: &[&str], environment: &[(&str, &str)], directory: &Path) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(directory)
        .env_remove("DATABASE_URL")
        .env_remove("OPENAI_BASE_URL")
        .env_remove("OPENAI_API_KEY")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// A repository on `main` with these files committed.
pub fn repository(path: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (name, text) in files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().expect("a file lies in a directory")).expect("a directory for a file");
        std::fs::write(file, text).expect("a file of the repository");
    }
    git(path, &["init", "-q", "-b", "main"]);
    git(path, &["add", "-A"]);
    git(
        path,
        &[
            "-c",
            "user.name=U",
            "-c",
            "user.email=u@localhost",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        ],
    );
    path.to_owned()
}

/// Runs git in a repository and returns its output.
pub fn git(path: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(path)
        .args(arguments)
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
