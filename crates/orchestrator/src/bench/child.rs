//! The product as a process of its own, with scripted models that answer at once.

use super::milliseconds;
use crate::failure::Failure;
use api::Client;
use sim_llm::{Options, Scenario, Server};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// How long a server may take to be ready, or to end.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Directories and models that outlive single processes.
pub(super) struct Harness {
    directory: TempDir,
    pub(super) data_dir: PathBuf,
    narrow: Server,
    wide: Server,
}

/// A running `orchestrator serve`.
pub(super) struct Child {
    process: tokio::process::Child,
    pub(super) client: Client,
    pub(super) address: String,
    /// From its start to its first word.
    pub(super) ready_ms: f64,
}

impl Harness {
    pub(super) async fn new(tasks: u32) -> Result<Self, Failure> {
        let made = tempfile::Builder::new()
            .prefix("orchestrator-bench-")
            .tempdir()
            .and_then(|directory| {
                // The account of the database server passes through.
                fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).map(|()| directory)
            });
        let directory = made.map_err(|error| problem("no temporary directory can be made", error))?;
        let model = |width| Server::start(Scenario::trivial(tasks as usize, width), Options::default());
        let narrow = model(1)
            .await
            .map_err(|error| problem("the scripted model can't start", error))?;
        let wide = model(8)
            .await
            .map_err(|error| problem("the scripted model can't start", error))?;
        let harness = Self {
            data_dir: directory.path().join("data"),
            directory,
            narrow,
            wide,
        };
        fs::write(harness.configuration(), harness.text(tasks))
            .map_err(|error| problem("its configuration can't be written", error))?;
        Ok(harness)
    }

    /// The provider whose plan is one long chain.
    pub(super) fn narrow(&self) -> &'static str {
        "narrow"
    }

    /// The provider whose plan is eight tasks wide.
    pub(super) fn wide(&self) -> &'static str {
        "wide"
    }

    /// A path for a new repository.
    pub(super) fn repository(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("orchestrator.toml")
    }

    fn text(&self, tasks: u32) -> String {
        format!(
            "[providers.narrow]\nbase_url = \"{}\"\n[providers.wide]\nbase_url = \"{}\"\n\
             [engine]\nworkers = 8\n[limits]\ntasks = {tasks}\ndepth = {tasks}\n[telemetry]\nlog = \"off\"\n",
            self.narrow.base_url(),
            self.wide.base_url(),
        )
    }

    /// Starts a server and waits until it is ready.
    pub(super) async fn start(&self, sandbox: &str) -> Result<Child, Failure> {
        let program = std::env::current_exe().map_err(|error| problem("this program can't be found", error))?;
        let begun = Instant::now();
        let mut process = Command::new(program)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--sandbox", sandbox])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--config")
            .arg(self.configuration())
            .env_remove("DATABASE_URL")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| problem("the server can't be started", error))?;
        let address = tokio::time::timeout(TIMEOUT, first_word(&mut process))
            .await
            .ok()
            .flatten();
        let ready_ms = milliseconds(begun.elapsed());
        let address =
            address.ok_or_else(|| Failure::environment("the server did not start; see `orchestrator doctor`"))?;
        let client = Client::new(&address, None).map_err(crate::client::failure)?;
        Ok(Child {
            process,
            client,
            address,
            ready_ms,
        })
    }

    pub(super) async fn close(self) {
        self.narrow.stop().await;
        self.wide.stop().await;
    }
}

/// The address in the line that says that it is ready.
async fn first_word(process: &mut tokio::process::Child) -> Option<String> {
    let output = process.stdout.take()?;
    let line = BufReader::new(output).lines().next_line().await.ok()??;
    let ready: serde_json::Value = serde_json::from_str(&line).ok()?;
    ready.get("address")?.as_str().map(str::to_owned)
}

impl Child {
    pub(super) fn pid(&self) -> u32 {
        self.process.id().unwrap_or_default()
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|error| problem("the server can't be stopped", error.into()))?;
        }
        let ended = tokio::time::timeout(TIMEOUT, self.process.wait()).await;
        ended
            .map(|_| ())
            .map_err(|_| Failure::environment("the server did not stop in time"))
    }
}

fn problem(what: &str, error: std::io::Error) -> Failure {
    Failure::environment(what).caused_by(error)
}

/// A path as an argument or a request takes it.
pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
