//! Runs workers' commands in sandboxes: one per command, with limits, and nothing left running afterwards.
//!
//! A [`Sandbox`] is probed once at start and fails closed: the requested tier was seen to work with a real command, or
//! the error names what to install or enable. A [`Job`] is one command. It gets a worktree, a few read-only directories,
//! a clean environment and no network. When [`Sandbox::run`] returns, all its processes have ended.

mod bubblewrap;
mod capture;
mod cgroup;
mod enforcement;
mod environment;
mod error;
mod file_system;
mod guard;
mod identity;
mod init;
mod job;
mod landlock;
mod launch;
mod launcher_main;
mod limit;
mod probe;
mod probe_report;
mod process;
mod properties;
mod report;
mod run;
mod seccomp;
mod settings;
mod stage;
mod toolchains;
mod walk;
mod worktree_limit;

pub use enforcement::{Enforcement, Property, State};
pub use error::SandboxError;
pub use job::{Access, Exit, Finished, Job};
pub use launcher_main::launcher_main;
pub use limit::{Limit, Location};
pub use properties::{Property as ProbedProperty, PropertyState};
pub use settings::{HostEnvironment, Settings, Tier};
pub use tokio_util::sync::CancellationToken;

use std::sync::Arc;

use bubblewrap::Features;
use cgroup::Groups;
use identity::Identity;
use launch::Launcher;
use seccomp::Filters;
use tempfile::TempDir;
use toolchains::Toolchains;
use worktree_limit::Trees;

/// A tier that was probed and works, with the grants and limits every job of it gets.
#[derive(Debug)]
pub struct Sandbox {
    isolation: Isolation,
    settings: Settings,
    toolchains: Toolchains,
    properties: Vec<ProbedProperty>,
    /// Starts commands under Landlock; a shell starts them if there is none.
    launcher: Option<Launcher>,
    landlock: Enforcement,
    groups: Arc<Groups>,
    trees: Arc<Trees>,
}

/// How each tier isolates a job, with what it needs for that.
#[derive(Debug)]
enum Isolation {
    Bubblewrap(Features, Identity, Filters),
    /// The directory that stands in for the home directory; removed with the sandbox. Without one, no command runs.
    None {
        home: Option<TempDir>,
    },
}

impl Sandbox {
    /// Which tier runs the jobs.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.isolation {
            Isolation::Bubblewrap(..) => Tier::Bubblewrap,
            Isolation::None { .. } => Tier::None,
        }
    }

    /// The properties that the probe saw; empty for [`Tier::None`].
    #[must_use]
    pub fn properties(&self) -> &[ProbedProperty] {
        &self.properties
    }

    /// One paragraph for people: isolation, granted toolchains and limits of a job.
    #[must_use]
    pub fn describe(&self) -> String {
        let isolation = match &self.isolation {
            Isolation::Bubblewrap(features, identity, _) => format!("{}; {}", features.describe(), identity.describe()),
            Isolation::None { .. } => "no sandbox: commands run with the rights of this process, on its network and \
                 files; processes that start their own session outlive their command"
                .to_owned(),
        };
        format!(
            "{isolation}; {}; {}",
            self.toolchains.describe(),
            self.describe_limits()
        )
    }
}
