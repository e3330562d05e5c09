//! How many files this process may have open, and how many of them connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as the server makes use of: more would only be passed on to the programs it starts.
const WANTED: u64 = 4_096;
/// Where the system names no limit.
const UNLIMITED: u64 = 1 << 20;

/// The limits of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// What holds.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

impl Descriptors {
    /// The limits of this process, now.
    pub fn now() -> Self {
        let limit = getrlimit(Resource::Nofile);
        Self {
            soft: limit.current.unwrap_or(UNLIMITED),
            hard: limit.maximum.unwrap_or(UNLIMITED),
        }
    }

    /// Those that connections may take. The rest is for the database, the heartbeat, hubs, worktrees and sandboxes.
    pub fn for_connections(self) -> usize {
        usize::try_from(self.soft / 2).unwrap_or(usize::MAX)
    }
}

/// Raises the limit that holds towards the one of the system, and returns what held before: programs that expect the
/// usual one get that.
pub fn raise_descriptors() -> Descriptors {
    let before = Descriptors::now();
    let wanted = WANTED.min(before.hard);
    if before.soft < wanted {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        // Where it can't be raised, the caps follow what holds.
        setrlimit(Resource::Nofile, limit).unwrap_or_default();
    }
    before
}
