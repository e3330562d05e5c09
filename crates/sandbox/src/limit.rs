//! The limits that end a job, each with its value and its setting.

use std::fmt;

const MEBIBYTE: u64 = 1 << 20;

/// A location on disk that a job may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// Its worktree.
    Worktree,
    /// A directory beside it, such as the build cache.
    Shared,
}

impl fmt::Display for Location {
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
        location: Location,
        /// The limit.
        bytes: u64,
    },
    /// Files and directories added to a writable directory.
    Files {
        /// Which directory.
        location: Location,
        /// The limit.
        count: u64,
    },
    /// Directories within directories.
    Depth {
        /// Which directory.
        location: Location,
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
            Self::Memory { bytes } => write!(
                formatter,
                "memory limit of {} (sandbox.memory_bytes)",
                size_text(*bytes)
            ),
            Self::TotalMemory { bytes } => write!(
                formatter,
                "memory limit of {} for all commands together (sandbox.total_memory_bytes)",
                size_text(*bytes)
            ),
            Self::MachineMemory => formatter.write_str("the machine's memory ran out"),
            Self::Processes { count } => {
                write!(formatter, "limit of {count} processes and threads (sandbox.processes)")
            }
            Self::Bytes { location, bytes } => write!(
                formatter,
                "limit of {} added to {location} (sandbox.worktree_bytes)",
                size_text(*bytes)
            ),
            Self::Files { location, count } => write!(
                formatter,
                "limit of {count} files and directories added to {location} (sandbox.worktree_files)"
            ),
            Self::Depth { location, levels } => {
                write!(
                    formatter,
                    "directories in {location} nested deeper than {levels} levels"
                )
            }
            Self::DiskFloor { bytes } => write!(
                formatter,
                "the disk has less than {} free (engine.disk_floor_bytes)",
                size_text(*bytes)
            ),
        }
    }
}

/// A size for people, in whole mebibytes if it is at least one.
pub(crate) fn size_text(bytes: u64) -> String {
    if bytes >= MEBIBYTE {
        format!("{} MiB", bytes / MEBIBYTE)
    } else {
        format!("{bytes} bytes")
    }
}
