//! The settings of the engine.

mod delivery;
mod hubs;
mod merge;

pub use delivery::{DeliveryError, DeliverySettings, ForgeCommand, ForgeWords, PushAccess, PushTo};
pub use hubs::SharedHubs;
pub use merge::{GeneratedRule, Generation, MergeSettings};

use domain::{
    RunId,
    effect::{EffectKind, Location},
    limits::RunLimits,
};
use llm::ModelRef;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of hubs, worktrees and outputs.
    pub data_dir: PathBuf,
    /// The name of this process, the same after a restart: its data directory.
    pub process_name: String,
    /// The version of the product.
    pub version: String,
    /// Worker slots: attempts that run here at one time.
    pub slots: u32,
    /// The director's model, unless a request names another.
    pub director: Option<ModelRef>,
    /// The workers' model, unless a request names another.
    pub worker: Option<ModelRef>,
    /// The directories below which workspaces may be created; existing repositories may be elsewhere.
    pub workspace_roots: Vec<PathBuf>,
    /// A directory that the user of this process named; it counts as below a root.
    pub workspace_named: Option<PathBuf>,
    /// The most files in the first commit of a directory without git.
    pub initialise_files: usize,
    /// The most bytes in it.
    pub initialise_bytes: u64,
    /// Tries of a merge that fails for a reason outside the work, before it leaves the queue.
    pub merge_tries: u32,
    /// Settings of single workspaces, by canonical path.
    pub workspaces: BTreeMap<PathBuf, WorkspaceSettings>,
    /// How conflicts are resolved, unless the workspace has its own settings.
    pub merge: MergeSettings,
    /// The limits of a run, unless a request names others.
    pub limits: RunLimits,
    /// Directory of the user's own profiles, if any.
    pub profiles: Option<PathBuf>,
    /// Who commits.
    pub identity: Identity,
    /// Paths that every sandbox may read besides the system's.
    pub extra_read_only: Vec<PathBuf>,
    /// Below so many free bytes on the disk nothing new is started.
    pub disk_floor_bytes: u64,
    /// How long the data of an ended run is kept; `None`: forever.
    pub keep_runs: Option<Duration>,
    /// The bytes that the data directory may take. Above that, data of ended runs is pruned, and nothing new is started
    /// until it is within the bound. `None`: no bound.
    pub disk_bound_bytes: Option<u64>,
    /// The time between two measurements of the data directory.
    pub measure: Duration,
    /// What this process claims.
    pub duties: Duties,
    /// What this process deletes of ended runs.
    pub retention: Retention,
    /// The hubs that several machines share; `None`: this machine's own.
    pub hubs: Option<SharedHubs>,
    /// The time between two polls for work without a wake.
    pub poll: Duration,
    /// The time between two heartbeats.
    pub heartbeat: Duration,
    /// A process of another data directory counts as lost this long after its last heartbeat.
    pub lease: Duration,
    /// Reruns of the check on a tree with failing tests, to tell flaky tests from broken ones.
    pub gate_reruns: u32,
    /// Checks that run at one time in their turn, of all runs.
    pub gates: u32,
    /// Checks that run at one time ahead of their turn, on trees whose predecessors have not landed yet.
    pub gates_ahead: u32,
    /// The waiting time in a merge queue that equals one level of priority. With a longer time, tasks of long chains pass
    /// others for longer.
    pub priority_level: Duration,
    /// Whether delivery fast-forwards a clean checkout on the base.
    pub fast_forward: bool,
    /// Whether it does so for a run with integrity flags, unless request or workspace decide.
    pub allow_integrity_flags: bool,
}

/// What a process claims of the work in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duties {
    /// Everything.
    All,
    /// Tasks and merges, as a remote worker: workspaces and plans belong to the server.
    WithoutWorkspaces,
    /// Only the delivery of one run that a person requested.
    Delivery(RunId),
    /// Nothing: the process only cleans up. It is registered, for the lease of retention.
    Cleaning,
    /// Nothing: the process reads, or changes one thing in one transaction. It is not registered and makes no directory.
    None,
}

impl Duties {
    /// The kinds of effects that are claimed, and the run they are limited to.
    pub(crate) fn effects(self) -> (Vec<EffectKind>, Option<RunId>) {
        match self {
            Self::All => (EffectKind::ALL.to_vec(), None),
            Self::WithoutWorkspaces => {
                let anywhere = |kind: &EffectKind| kind.location() == Location::Anywhere;
                (EffectKind::ALL.into_iter().filter(anywhere).collect(), None)
            }
            Self::Delivery(run) => (vec![EffectKind::Deliver], Some(run)),
            Self::Cleaning | Self::None => (Vec::new(), None),
        }
    }

    /// Whether tasks and merges are claimed, and dead processes recovered.
    pub(crate) fn works(self) -> bool {
        match self {
            Self::All | Self::WithoutWorkspaces => true,
            Self::Delivery(_) | Self::Cleaning | Self::None => false,
        }
    }

    /// Whether the workspaces of runs are on this machine.
    pub(crate) fn has_workspaces(self) -> bool {
        match self {
            Self::All | Self::Delivery(_) => true,
            Self::WithoutWorkspaces | Self::Cleaning | Self::None => false,
        }
    }
}

/// What retention deletes of ended runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Everything: on this machine and in what machines share.
    Runs,
    /// Only this machine's own copies.
    OwnCopies,
}

impl Settings {
    /// The defaults for a data directory. The caller sets models, workspaces and slots.
    pub fn at(data_dir: PathBuf) -> Self {
        Self {
            process_name: data_dir.display().to_string(),
            data_dir,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: 3,
            director: None,
            worker: None,
            workspace_roots: git::Admission::default_roots(),
            workspace_named: None,
            initialise_files: 20_000,
            initialise_bytes: 500 << 20,
            merge_tries: 20,
            workspaces: BTreeMap::new(),
            merge: MergeSettings::default(),
            limits: RunLimits::default(),
            profiles: None,
            identity: Identity::default(),
            extra_read_only: Vec::new(),
            disk_floor_bytes: 0,
            keep_runs: None,
            disk_bound_bytes: None,
            measure: Duration::from_secs(600),
            duties: Duties::All,
            retention: Retention::Runs,
            hubs: None,
            poll: Duration::from_millis(500),
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            gate_reruns: 1,
            gates: 4,
            gates_ahead: 1,
            priority_level: Duration::from_secs(60),
            fast_forward: true,
            allow_integrity_flags: false,
        }
    }
}

/// The settings of one workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceSettings {
    /// The check command.
    pub check: Option<String>,
    /// Paths its sandboxes may read.
    pub read_only: Vec<PathBuf>,
    /// How conflicts are resolved.
    pub merge: MergeSettings,
    /// How branches are delivered.
    pub delivery: DeliverySettings,
    /// Whether a checkout is fast-forwarded for a run with integrity flags.
    pub allow_integrity_flags: Option<bool>,
}

/// The author of commits.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "Agent Orchestrator".into(),
            email: "orchestrator@localhost".into(),
        }
    }
}
