//! What the engine is told at its start.

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

/// Everything the engine needs to know besides its parts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where hubs, worktrees and outputs live.
    pub data_dir: PathBuf,
    /// A name for this process that is the same after a restart: its data directory.
    pub process_name: String,
    /// The version of the product.
    pub version: String,
    /// Attempts that run here at one time.
    pub slots: u32,
    /// The director's model where a request names none.
    pub director: Option<ModelRef>,
    /// The workers' model where a request names none.
    pub worker: Option<ModelRef>,
    /// The directories below which workspaces may be made; repositories that exist may be elsewhere.
    pub workspace_roots: Vec<PathBuf>,
    /// A directory that the user of this very process named: it counts as below a root.
    pub workspace_named: Option<PathBuf>,
    /// Files that the first commit of a directory without git may hold.
    pub initialise_files: usize,
    /// Bytes that it may hold.
    pub initialise_bytes: u64,
    /// How often a merge is tried that fails by itself, before it leaves the queue.
    pub merge_tries: u32,
    /// What is configured for single workspaces, by canonical path.
    pub workspaces: BTreeMap<PathBuf, WorkspaceSettings>,
    /// How conflicts are decided in workspaces that have nothing of their own configured.
    pub merge: MergeSettings,
    /// The limits of a run where a request names no others.
    pub limits: RunLimits,
    /// Directory of the user's own profiles, if any.
    pub profiles: Option<PathBuf>,
    /// Who commits.
    pub identity: Identity,
    /// Paths that every sandbox may read, besides the system's.
    pub extra_read_only: Vec<PathBuf>,
    /// Bytes of free disk below which nothing is dispatched.
    pub disk_floor_bytes: u64,
    /// How long the trees and outputs of a run that has ended are kept; `None`: for ever.
    pub keep_runs: Option<Duration>,
    /// Bytes the data directory may take; over it, what can be spared is given up, and nothing new is begun until
    /// that was enough. `None`: no bound.
    pub disk_bound_bytes: Option<u64>,
    /// How often the data directory is measured.
    pub measure: Duration,
    /// What is claimed here.
    pub duties: Duties,
    /// What is given up here of runs that have ended.
    pub gives_up: GivesUp,
    /// Where the hubs are that several machines work on; `None`: this machine's own.
    pub hubs: Option<SharedHubs>,
    /// How often the database is asked for work when nothing woke the dispatcher.
    pub poll: Duration,
    /// How often the process says it is alive.
    pub heartbeat: Duration,
    /// How long after its last word a process of another data directory counts as lost.
    pub lease: Duration,
    /// How often the check is run again on a tree where tests fail, to tell flaky tests from broken ones.
    pub gate_reruns: u32,
    /// Checks that run at one time in their turn, of all runs together.
    pub gates: u32,
    /// Checks that run ahead of their turn at one time, on trees whose predecessors have not landed yet.
    pub gates_ahead: u32,
    /// Waiting in a merge queue that counts as much as one level of priority: the more, the longer a task of a long
    /// chain goes before others.
    pub priority_level: Duration,
    /// Whether a clean checkout that sits on the base is fast-forwarded at delivery.
    pub fast_forward: bool,
    /// Whether that is done although the run has integrity flags, where neither request nor workspace says.
    pub allow_integrity_flags: bool,
}

/// What a process does of the work that is recorded in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duties {
    /// All of it.
    All,
    /// All but what is done where a run was taken in: its workspace is on another machine, and its plan is made there.
    WithoutWorkspaces,
    /// The delivery of one run that a person asked for, and nothing else.
    Delivery(RunId),
    /// Nothing is performed: somebody clears away. The process is registered, for the lease under which that is done.
    Cleaning,
    /// Nothing at all: somebody reads, or changes one thing in one transaction. Neither a process nor a directory is
    /// made for that.
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

    /// Whether tasks and merges are claimed, and what dead processes held is brought back.
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

/// What retention gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivesUp {
    /// The runs themselves: what any machine has of them, and what machines share.
    Runs,
    /// What this machine has of them.
    OwnCopies,
}

impl Settings {
    /// The defaults, for a data directory; models, workspaces and the number of slots are the caller's.
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
            gives_up: GivesUp::Runs,
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

/// What is configured for one workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceSettings {
    /// The check command.
    pub check: Option<String>,
    /// Paths its sandboxes may read.
    pub read_only: Vec<PathBuf>,
    /// How conflicts are decided.
    pub merge: MergeSettings,
    /// How its runs' work is handed over.
    pub delivery: DeliverySettings,
    /// Whether a checkout is fast-forwarded although the run has integrity flags.
    pub allow_integrity_flags: Option<bool>,
}

/// The name that commits are made under.
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
