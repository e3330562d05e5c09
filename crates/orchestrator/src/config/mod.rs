//! Every setting of the product, typed, in one place.
//!
//! Values come from a file, then the environment, then flags; a later one wins. A key that nothing knows is an
//! error that names the nearest one.

mod calls;
mod delivery;
mod environment;
mod file;
mod hubs;
mod layers;
mod merge;
mod model_name;
mod providers;
mod retention;
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
    /// Where everything of ours is kept; always set once loaded.
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
    /// What is set for single workspaces, by a name of your choice.
    pub(crate) workspaces: BTreeMap<String, WorkspaceSection>,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerSection {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// Names beside the loopback ones by which browsers may call it.
    pub(crate) allowed_hosts: Vec<String>,
    /// A file that holds the bearer token callers must send.
    pub(crate) token_file: Option<PathBuf>,
    /// Connections that are open at one time; fewer where the system allows too few open files.
    pub(crate) connections: usize,
    /// Those of one address.
    pub(crate) connections_per_address: usize,
    /// Event streams that are open at one time.
    pub(crate) streams: usize,
    /// Requests that are worked on at one time.
    pub(crate) requests: usize,
    /// Seconds the head of a request may take to arrive.
    pub(crate) header_timeout_s: u64,
    /// Seconds the body of a request may take to arrive.
    pub(crate) body_timeout_s: u64,
    /// Seconds a connection may do nothing between two requests, or take nothing of an answer.
    pub(crate) idle_timeout_s: u64,
    /// Bytes of a request's body.
    pub(crate) body_bytes: usize,
    /// Directories below which workspaces may be made; repositories that exist may be elsewhere.
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
    /// A PostgreSQL server; without one a private server is kept in the data directory.
    pub(crate) url: Option<String>,
}

/// `[models]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelsSection {
    /// Who plans where a request names nobody, as `provider/model`.
    pub(crate) director: Option<String>,
    /// Who works and resolves where a request names nobody, as `provider/model`.
    pub(crate) worker: Option<String>,
    /// A file of prices that goes before the built-in table.
    pub(crate) prices: Option<PathBuf>,
}

/// `[budget]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BudgetSection {
    /// Dollars that a run may cost where a request says nothing.
    pub(crate) run_dollars: Option<f64>,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EngineSection {
    /// Attempts that run here at one time.
    pub(crate) workers: u32,
    /// Milliseconds between two looks for work when nothing woke the dispatcher.
    pub(crate) poll_ms: u64,
    /// Seconds between two signs of life.
    pub(crate) heartbeat_s: u64,
    /// Seconds of silence after which a process of another data directory counts as lost.
    pub(crate) lease_s: u64,
    /// Bytes of free disk below which nothing new is started.
    pub(crate) disk_floor_bytes: u64,
    /// How often the check is run again on a tree where tests fail, to tell flaky tests from broken ones.
    pub(crate) gate_reruns: u32,
    /// Checks that run at one time in their turn, of all runs together.
    pub(crate) gates: u32,
    /// Checks that run ahead of their turn at one time; one less than the cores, and at least one, where it is not set.
    pub(crate) gates_ahead: u32,
    /// How often a merge is tried that fails by itself, before it goes back to its worker.
    pub(crate) merge_tries: u32,
    /// Files that the first commit of a directory without git may hold.
    pub(crate) initialise_files: usize,
    /// Bytes that it may hold.
    pub(crate) initialise_bytes: u64,
    /// Seconds of waiting in a merge queue that count as much as one level of priority.
    pub(crate) priority_level_s: u64,
    /// Whether a clean checkout on the base is fast-forwarded at delivery.
    pub(crate) fast_forward: bool,
    /// Whether that is done although the run has integrity flags.
    pub(crate) allow_integrity_flags: bool,
    /// A directory of your own worker profiles.
    pub(crate) profiles: Option<PathBuf>,
    /// The name that commits are made under.
    pub(crate) commit_name: String,
    /// The address that commits are made under.
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
    /// How strongly commands are shut in: `bubblewrap` or `none`.
    pub(crate) tier: ::sandbox::Tier,
    /// The bubblewrap program: a name looked up in `PATH`, or a path.
    pub(crate) bubblewrap: PathBuf,
    /// Where the server is root: the first of 65,536 ids of the host that are nobody's, which jobs are outside.
    pub(crate) host_uid: Option<u32>,
    /// Paths granted read-only, beside the toolchains that are found.
    pub(crate) extra_read_only: Vec<PathBuf>,
    /// Bytes of each writable directory in memory.
    pub(crate) temporary_bytes: u64,
    /// Bytes of the largest file a command may write.
    pub(crate) file_bytes: u64,
    /// Bytes of address space of each process.
    pub(crate) address_space_bytes: Option<u64>,
    /// Bytes of memory of one command; half of the machine's where it is unset.
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes of memory of all commands together; four fifths of the machine's where it is unset.
    pub(crate) total_memory_bytes: Option<u64>,
    /// Processes and threads of one command.
    pub(crate) processes: u64,
    /// Weight of commands where they compete for the processor; everything else has 100.
    pub(crate) cpu_weight: u64,
    /// Bytes that may be added to a worktree.
    pub(crate) worktree_bytes: u64,
    /// Files and directories that may be added to a worktree.
    pub(crate) worktree_files: u64,
    /// Bytes of one command's kept output.
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
    /// What is logged, as a filter: `info`, `warn,engine=debug`. Each command has a sensible choice of its own.
    pub(crate) log: Option<String>,
    /// `text` or `json`; text on a terminal, JSON elsewhere.
    pub(crate) log_format: Option<LogFormat>,
    /// Where traces are sent (OTLP over HTTP); nowhere without one.
    pub(crate) otlp_endpoint: Option<String>,
    /// Whether metrics also appear under the names that older dashboards use.
    pub(crate) compatibility_names: bool,
    /// Where this runs, such as `production`.
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

/// How log lines are written.
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
    /// The address of its OpenAI-compatible interface, without `/chat/completions`.
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds its key; `<NAME>_API_KEY` where it is not named.
    pub(crate) api_key_env: Option<String>,
    /// Requests a minute, retries among them.
    pub(crate) requests_per_minute: Option<u32>,
    /// Requests at one time.
    pub(crate) concurrency: Option<u32>,
    /// Whether answers are streamed.
    pub(crate) stream: Option<bool>,
    /// Headers sent with every request.
    pub(crate) extra_headers: BTreeMap<String, String>,
    /// How it is told the most it may answer: `max_completion_tokens` or `max_tokens`.
    pub(crate) output_limit: Option<String>,
    /// How it is asked for an answer of a given shape: `json_schema` or `tool`.
    pub(crate) structured: Option<String>,
}

/// `[workspaces.<name>]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkspaceSection {
    /// The repository.
    pub(crate) path: PathBuf,
    /// The command that checks the merged tree.
    pub(crate) check: Option<String>,
    /// Paths its sandboxes may read.
    pub(crate) read_only: Vec<PathBuf>,
    /// How its conflicts are decided.
    pub(crate) merge: MergeSection,
    /// How its runs' work is handed over.
    pub(crate) delivery: DeliverySection,
    /// Whether its checkout is fast-forwarded although a run has integrity flags.
    pub(crate) allow_integrity_flags: Option<bool>,
}

impl Config {
    /// How conflicts are decided where a workspace says nothing of its own.
    pub(crate) fn merge_settings(&self) -> Result<MergeSettings, Failure> {
        self.merge.over(&MergeSettings::default(), "merge")
    }

    /// How conflicts are decided in a workspace of this configuration.
    pub(crate) fn merge_settings_of(&self, name: &str, own: &WorkspaceSection) -> Result<MergeSettings, Failure> {
        own.merge
            .over(&self.merge_settings()?, &format!("workspaces.{name}.merge"))
    }

    /// The limits of a run where a request names no others.
    pub(crate) fn run_limits(&self) -> RunLimits {
        let cap = self.budget.run_dollars.and_then(NanoDollars::from_dollars);
        RunLimits {
            cost_nanodollars: cap.or(self.limits.cost_nanodollars),
            ..self.limits.clone()
        }
    }
}
