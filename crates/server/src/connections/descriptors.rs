//! The limit of open files, and the share of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit to raise to. Programs that the server starts would inherit a higher one.
const WANTED: u64 = 4_096;
/// The value for a system without a limit.
const UNLIMITED: u64 = 1 << 20;

/// The limits of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit in force.
    pub soft: u64,
    /// The highest possible limit.
    pub hard: u64,
}

impl Descriptors {
    /// The current limits of this process.
    pub fn now() -> Self {
        let limit = getrlimit(Resource::Nofile);
        Self {
            soft: limit.current.unwrap_or(UNLIMITED),
            hard: limit.maximum.unwrap_or(UNLIMITED),
        }
    }

    /// The share of connections. The rest is for the database, hubs, worktrees and sandboxes.
    pub fn for_connections(self) -> usize {
        usize::try_from(self.soft / 2).unwrap_or(usize::MAX)
    }
}

/// Raises the limit in force, and returns the limit before, for the programs that the server starts.
pub fn raise_descriptors() -> Descriptors {
    let before = Descriptors::now();
    let wanted = WANTED.min(before.hard);
    if before.soft < wanted {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        // On an error, the limits of connections follow the limit in force.
        setrlimit(Resource::Nofile, limit).unwrap_or_default();
    }
    before
}
