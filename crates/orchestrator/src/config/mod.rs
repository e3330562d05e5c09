//! Every setting of the product, with its type.
//!
//! Values come from a file, the environment and flags; a later one wins. An unknown key is an error that names the
//! nearest known one.

mod calls;
mod delivery;
mod environment;
mod file;
mod hubs;
mod layers;
mod merge;
mod model_name;
mod overrides;
mod providers;
mod retention;
mod rules;
mod sandbox;
mod secrets;

use calls::CallsSection;
pub(crate) use delivery::DeliverySection;
pub(crate) use environment::Environment;
use hubs::HubsSection;
pub(crate) use layers::{Loaded, Overrides, load};
use merge::MergeSection;
pub(crate) use model_name::parse_model;
pub(crate) use providers::model_settings;
pub(crate) use secrets::masked_address;

use crate::failure::Failure;
use domain::{NanoDollars, limits::RunLimits};
use engine::MergeSettings;
use retention::RetentionSection;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// The effective configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Data directory; always set once loaded.
    pub(crate) data_dir: PathBuf,
    pub(crate) server: ServerSection,
    pub(crate) database: DatabaseSection,
    pub(crate) models: ModelsSection,
    pub(crate) calls: CallsSection,
    pub(crate) budget: BudgetSection,
    pub(crate) engine: EngineSection,
    pub(crate) hubs: HubsSection,
    pub(crate) sandbox: SandboxSection,
    pub(crate) retention: RetentionSection,
    pub(crate) telemetry: TelemetrySection,
    pub(crate) merge: MergeSection,
    pub(crate) limits: RunLimits,
    /// Model providers by name; `openai` is always there.
    pub(crate) providers: BTreeMap<String, ProviderSection>,
    /// Settings of single workspaces, by a name of your choice.
    pub(crate) workspaces: BTreeMap<String, WorkspaceSection>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSection {
    /// Address the server listens on.
    pub(crate) listen: SocketAddr,
    /// Host names, besides the loopback ones, that requests may use.
    pub(crate) allowed_hosts: Vec<String>,
    /// File with the bearer token that callers must send.
    pub(crate) token_file: Option<PathBuf>,
    /// Most open connections; fewer where the system allows too few open files.
    pub(crate) connections: usize,
    /// Most open connections of one address.
    pub(crate) connections_per_address: usize,
    /// Most open event streams.
    pub(crate) streams: usize,
    /// Most requests processed at one time.
    pub(crate) requests: usize,
    /// Seconds the head of a request may take to arrive.
    pub(crate) header_timeout_s: u64,
    /// Seconds the body of a request may take to arrive.
    pub(crate) body_timeout_s: u64,
    /// Seconds a connection may be idle between two requests, or while it receives an answer.
    pub(crate) idle_timeout_s: u64,
    /// Most bytes of a request body.
    pub(crate) body_bytes: usize,
    /// Directories below which workspaces may be created; existing repositories may be elsewhere.
    pub(crate) workspaces: Vec<PathBuf>,
}

impl Default for ServerSection {
    fn default() -> Self {
        let settings = server::Settings::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            allowed_hosts: Vec::new(),
            token_file: None,
            connections: settings.connections,
            connections_per_address: settings.connections_per_address,
            streams: settings.streams,
            requests: settings.requests,
            header_timeout_s: settings.header_within.as_secs(),
            body_timeout_s: settings.body_within.as_secs(),
            idle_timeout_s: settings.idle_within.as_secs(),
            body_bytes: settings.body_bytes,
            workspaces: git::Admission::default_roots(),
        }
    }
}

/// `[database]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatabaseSection {
    /// Address of a PostgreSQL server; without one, a private server runs in the data directory.
    pub(crate) url: Option<String>,
}

/// `[models]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsSection {
    /// Model that plans if a request names none, as `provider/model`.
    pub(crate) director: Option<String>,
    /// Model that works and resolves conflicts if a request names none, as `provider/model`.
    pub(crate) worker: Option<String>,
    /// File of prices that override the built-in ones.
    pub(crate) prices: Option<PathBuf>,
}

/// `[budget]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BudgetSection {
    /// Most dollars a run may cost if a request names no cap.
    pub(crate) run_dollars: Option<f64>,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineSection {
    /// Most attempts that run in this process at one time.
    pub(crate) workers: u32,
    /// Milliseconds between two polls for work when nothing wakes the scheduler.
    pub(crate) poll_ms: u64,
    /// Seconds between two heartbeats.
    pub(crate) heartbeat_s: u64,
    /// Seconds without a heartbeat after which a process of another data directory counts as lost.
    pub(crate) lease_s: u64,
    /// Bytes of free disk space below which no new work starts.
    pub(crate) disk_floor_bytes: u64,
    /// Reruns of the check command on a tree with failing tests, to find flaky ones.
    pub(crate) gate_reruns: u32,
    /// Most gates that run in turn at one time, of all runs together.
    pub(crate) gates: u32,
    /// Most gates that run ahead of their turn at one time; by default one less than the cores, and at least one.
    pub(crate) gates_ahead: u32,
    /// Tries of a merge that fails by itself, before it goes back to its worker.
    pub(crate) merge_tries: u32,
    /// Most files in the first commit of a directory without git.
    pub(crate) initialise_files: usize,
    /// Most bytes in that commit.
    pub(crate) initialise_bytes: u64,
    /// Seconds of waiting in a merge queue that count as much as one level of priority.
    pub(crate) priority_level_s: u64,
    /// Whether a clean checkout on the base is fast-forwarded at delivery.
    pub(crate) fast_forward: bool,
    /// Whether it is fast-forwarded even if the run has integrity flags.
    pub(crate) allow_integrity_flags: bool,
    /// Directory of custom worker profiles.
    pub(crate) profiles: Option<PathBuf>,
    /// Author and committer name of commits.
    pub(crate) commit_name: String,
    /// Author and committer address of commits.
    pub(crate) commit_email: String,
}

impl Default for EngineSection {
    fn default() -> Self {
        let identity = engine::Identity::default();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Self {
            workers: cores.max(3),
            poll_ms: 500,
            heartbeat_s: 5,
            lease_s: 15,
            disk_floor_bytes: 512 << 20,
            gate_reruns: 1,
            gates: 4,
            gates_ahead: cores.saturating_sub(1).max(1),
            merge_tries: 20,
            initialise_files: 20_000,
            initialise_bytes: 500 << 20,
            priority_level_s: 60,
            fast_forward: true,
            allow_integrity_flags: false,
            profiles: None,
            commit_name: identity.name,
            commit_email: identity.email,
        }
    }
}

/// `[sandbox]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SandboxSection {
    /// Sandbox for worker commands: `bubblewrap` or `none`.
    pub(crate) tier: ::sandbox::Tier,
    /// Bubblewrap program: a name in `PATH`, or a path.
    pub(crate) bubblewrap: PathBuf,
    /// For a server that is root: the first of 65,536 unused user ids of the host, for jobs.
    pub(crate) host_uid: Option<u32>,
    /// Paths granted read-only, besides the toolchains that are found.
    pub(crate) extra_read_only: Vec<PathBuf>,
    /// Most bytes of each writable directory in memory.
    pub(crate) temporary_bytes: u64,
    /// Most bytes of a file that a command writes.
    pub(crate) file_bytes: u64,
    /// Most bytes of address space of a process.
    pub(crate) address_space_bytes: Option<u64>,
    /// Most bytes of memory of a command; by default half of the machine's.
    pub(crate) memory_bytes: Option<u64>,
    /// Most bytes of memory of all commands together; by default four fifths of the machine's.
    pub(crate) total_memory_bytes: Option<u64>,
    /// Most processes and threads of a command.
    pub(crate) processes: u64,
    /// Processor weight of commands; everything else has 100.
    pub(crate) cpu_weight: u64,
    /// Most bytes added to a worktree.
    pub(crate) worktree_bytes: u64,
    /// Most files and directories added to a worktree.
    pub(crate) worktree_files: u64,
    /// Most bytes kept of a command's output.
    pub(crate) output_file_bytes: u64,
}

impl Default for SandboxSection {
    fn default() -> Self {
        let settings = ::sandbox::Settings::default();
        Self {
            tier: ::sandbox::Tier::default(),
            bubblewrap: settings.bubblewrap,
            host_uid: settings.host_uid,
            extra_read_only: settings.extra_read_only,
            temporary_bytes: settings.temporary_bytes,
            file_bytes: settings.file_bytes,
            address_space_bytes: settings.address_space_bytes,
            memory_bytes: settings.memory_bytes,
            total_memory_bytes: settings.total_memory_bytes,
            processes: settings.processes,
            cpu_weight: settings.cpu_weight,
            worktree_bytes: settings.worktree_bytes,
            worktree_files: settings.worktree_files,
            output_file_bytes: settings.output_file_bytes,
        }
    }
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetrySection {
    /// Log filter, such as `info` or `warn,engine=debug`. The default depends on the command.
    pub(crate) log: Option<String>,
    /// `text` or `json`; text on a terminal, JSON elsewhere.
    pub(crate) log_format: Option<LogFormat>,
    /// Address that traces are sent to (OTLP over HTTP); none are sent without one.
    pub(crate) otlp_endpoint: Option<String>,
    /// Whether metrics also have the names that older dashboards use.
    pub(crate) compatibility_names: bool,
    /// Name of the environment, such as `production`.
    pub(crate) environment: String,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            log: None,
            log_format: None,
            otlp_endpoint: None,
            compatibility_names: true,
            environment: "development".to_owned(),
        }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `[providers.<name>]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderSection {
    /// Address of its OpenAI-compatible API, without `/chat/completions`.
    pub(crate) base_url: Option<String>,
    /// Environment variable with its key; by default `<NAME>_API_KEY`.
    pub(crate) api_key_env: Option<String>,
    /// Most requests a minute, including retries.
    pub(crate) requests_per_minute: Option<u32>,
    /// Most requests at one time.
    pub(crate) concurrency: Option<u32>,
    /// Whether answers are streamed.
    pub(crate) stream: Option<bool>,
    /// Headers sent with every request.
    pub(crate) extra_headers: BTreeMap<String, String>,
    /// Name of the parameter that limits answers: `max_completion_tokens` or `max_tokens`.
    pub(crate) output_limit: Option<String>,
    /// How structured answers are requested: `json_schema` or `tool`.
    pub(crate) structured: Option<String>,
}

/// `[workspaces.<name>]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkspaceSection {
    /// The repository.
    pub(crate) path: PathBuf,
    /// Command that checks the merged tree.
    pub(crate) check: Option<String>,
    /// Paths that its sandboxes may read.
    pub(crate) read_only: Vec<PathBuf>,
    /// How its conflicts are decided.
    pub(crate) merge: MergeSection,
    /// How the branches of its runs are delivered.
    pub(crate) delivery: DeliverySection,
    /// Whether its checkout is fast-forwarded even if a run has integrity flags.
    pub(crate) allow_integrity_flags: Option<bool>,
}

impl Config {
    /// How conflicts are decided in workspaces without settings of their own.
    pub(crate) fn merge_settings(&self) -> Result<MergeSettings, Failure> {
        self.merge.over(&MergeSettings::default(), "merge")
    }

    /// How conflicts are decided in a workspace of this configuration.
    pub(crate) fn merge_settings_of(&self, name: &str, own: &WorkspaceSection) -> Result<MergeSettings, Failure> {
        own.merge
            .over(&self.merge_settings()?, &format!("workspaces.{name}.merge"))
    }

    /// Default limits of a run.
    pub(crate) fn run_limits(&self) -> RunLimits {
        let cap = self.budget.run_dollars.and_then(NanoDollars::from_dollars);
        RunLimits {
            cost_nanodollars: cap.or(self.limits.cost_nanodollars),
            ..self.limits.clone()
        }
    }
}
