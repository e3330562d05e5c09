//! The limits that end a job, each with its value and the setting it comes from.

use std::fmt;

const MEBIBYTE: u64 = 1 << 20;

/// Where a job may write on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its worktree.
    Worktree,
    /// A directory beside it, such as the build cache.
    Shared,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Worktree => "the worktree",
            Self::Shared => "the build cache",
        })
    }
}

/// A limit that a job reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The memory of one job.
    Memory {
        /// The limit.
        bytes: u64,
    },
    /// The memory of all jobs together.
    TotalMemory {
        /// The limit.
        bytes: u64,
    },
    /// The memory of the machine.
    MachineMemory,
    /// Processes and threads of one job.
    Processes {
        /// The limit.
        count: u64,
    },
    /// Bytes added to a writable directory.
    Bytes {
        /// Which directory.
        place: Place,
        /// The limit.
        bytes: u64,
    },
    /// Files and directories added to a writable directory.
    Files {
        /// Which directory.
        place: Place,
        /// The limit.
        count: u64,
    },
    /// Directories within directories.
    Depth {
        /// Which directory.
        place: Place,
        /// The limit.
        levels: u64,
    },
    /// The free space of the disk.
    DiskFloor {
        /// The limit.
        bytes: u64,
    },
}

impl Limit {
    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory { .. } => "memory",
            Self::TotalMemory { .. } => "total_memory",
            Self::MachineMemory => "machine_memory",
            Self::Processes { .. } => "processes",
            Self::Bytes { .. } => "worktree_bytes",
            Self::Files { .. } => "worktree_files",
            Self::Depth { .. } => "worktree_depth",
            Self::DiskFloor { .. } => "disk_floor",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { bytes } => write!(formatter, "memory limit of {} (sandbox.memory_bytes)", words(*bytes)),
            Self::TotalMemory { bytes } => write!(
                formatter,
                "memory limit of {} for all commands together (sandbox.total_memory_bytes)",
                words(*bytes)
            ),
            Self::MachineMemory => formatter.write_str("the machine's memory ran out"),
            Self::Processes { count } => {
                write!(formatter, "limit of {count} processes and threads (sandbox.processes)")
            }
            Self::Bytes { place, bytes } => write!(
                formatter,
                "limit of {} added to {place} (sandbox.worktree_bytes)",
                words(*bytes)
            ),
            Self::Files { place, count } => write!(
                formatter,
                "limit of {count} files and directories added to {place} (sandbox.worktree_files)"
            ),
            Self::Depth { place, levels } => {
                write!(formatter, "directories in {place} nested deeper than {levels} levels")
            }
            Self::DiskFloor { bytes } => write!(
                formatter,
                "the disk has less than {} free (engine.disk_floor_bytes)",
                words(*bytes)
            ),
        }
    }
}

/// A size for people: whole mebibytes where there are any.
pub(crate) fn words(bytes: u64) -> String {
    if bytes >= MEBIBYTE {
        format!("{} MiB", bytes / MEBIBYTE)
    } else {
        format!("{bytes} bytes")
    }
}
