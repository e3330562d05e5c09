//! Where workers' commands run: a closed room per command, with limits, that leaves nothing behind.
//!
//! A [`Sandbox`] is probed once at start and fails closed: it is either the tier that was asked for, shown to
//! work by a real command, or an error that says what to install or enable. A [`Job`] is one command; it gets a
//! worktree, a few read-only directories, a clean environment and no network, and when [`Sandbox::run`] returns no
//! process of it is left.

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
mod launched;
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
pub use launched::launched;
pub use limit::{Limit, Place};
pub use properties::{Property as ProvenProperty, PropertyState};
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
    room: Room,
    settings: Settings,
    toolchains: Toolchains,
    properties: Vec<ProvenProperty>,
    /// Without it, a shell starts commands.
    launcher: Option<Launcher>,
    landlock: Enforcement,
    groups: Arc<Groups>,
    trees: Arc<Trees>,
}

/// What each tier needs to run a job.
#[derive(Debug)]
enum Room {
    Bubblewrap(Features, Identity, Filters),
    /// The directory that stands in for the home directory; removed with the sandbox.
    None {
        home: TempDir,
    },
}

impl Sandbox {
    /// Which tier runs the jobs.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.room {
            Room::Bubblewrap(..) => Tier::Bubblewrap,
            Room::None { .. } => Tier::None,
        }
    }

    /// What was seen to hold when it was probed; nothing where there are no walls.
    #[must_use]
    pub fn properties(&self) -> &[ProvenProperty] {
        &self.properties
    }

    /// One paragraph for people: what holds a job back, what it is granted and what is not limited.
    #[must_use]
    pub fn describe(&self) -> String {
        let walls = match &self.room {
            Room::Bubblewrap(features, identity, _) => format!("{}; {}", features.describe(), identity.describe()),
            Room::None { .. } => "no sandbox: commands run with the rights of this process, on its network and \
                 files; processes that start their own session outlive their command"
                .to_owned(),
        };
        format!("{walls}; {}; {}", self.toolchains.describe(), self.describe_limits())
    }
}
