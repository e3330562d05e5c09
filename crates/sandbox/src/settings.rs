//! The settings: tier, extra grants and limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

const MEBIBYTE: u64 = 1024 * 1024;

/// How workers' commands are isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A bubblewrap sandbox: no network, no home directory, only the worktree is writable.
    #[default]
    Bubblewrap,
    /// No isolation: only a clean environment, limits and a process group.
    None,
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Tier::Bubblewrap => "bubblewrap",
            Tier::None => "none",
        })
    }
}

/// Grants and limits that hold for every job of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The bubblewrap program: a name looked up in `PATH`, or a path.
    pub bubblewrap: PathBuf,
    /// For a root server: the first of 65,536 unused user and group ids of the host. Jobs run as the first one. Unset: the
    /// range of root in `/etc/subuid`, else the first free range.
    pub host_uid: Option<u32>,
    /// The program that starts commands under Landlock, usually `/proc/self/exe`; it calls [`launcher_main`](crate::launcher_main)
    /// first. Unset: a shell starts commands, without Landlock.
    #[serde(skip)]
    pub launcher: Option<PathBuf>,
    /// Where to test the sandbox: the directory for worktrees, because file systems differ. Unset or missing: the
    /// directory for temporary files.
    #[serde(skip)]
    pub probe_directory: Option<PathBuf>,
    /// Directories and files granted read-only at their own paths, besides the detected toolchains.
    pub extra_read_only: Vec<PathBuf>,
    /// Size of each writable directory in memory (`/tmp`, the home directory), in bytes.
    pub temporary_bytes: u64,
    /// Largest file a job may write, in bytes.
    pub file_bytes: u64,
    /// Address space of each process of a job, in bytes. Unset by default: many runtimes reserve far more than
    /// they use.
    pub address_space_bytes: Option<u64>,
    /// Memory of a job, including files in memory. Unset: half of the machine's.
    pub memory_bytes: Option<u64>,
    /// Memory of all jobs together. Unset: four fifths of the machine's.
    pub total_memory_bytes: Option<u64>,
    /// Processes and threads of a job.
    pub processes: u64,
    /// CPU weight of jobs, from 1 to 10,000; everything else has 100.
    pub cpu_weight: u64,
    /// Bytes that may be added to a worktree, or by one job to a build cache.
    pub worktree_bytes: u64,
    /// Files and directories that may be added to a worktree, or by one job to a build cache.
    pub worktree_files: u64,
    /// Free space of a disk below which a job that fills it is stopped, in bytes.
    pub disk_floor_bytes: u64,
    /// Largest file for a job's full output, in bytes.
    pub output_file_bytes: u64,
    /// The environment from which toolchains are detected.
    #[serde(skip)]
    pub host: HostEnvironment,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bubblewrap: PathBuf::from("bwrap"),
            host_uid: None,
            launcher: None,
            probe_directory: None,
            extra_read_only: Vec::new(),
            temporary_bytes: 512 * MEBIBYTE,
            file_bytes: 4096 * MEBIBYTE,
            address_space_bytes: None,
            memory_bytes: None,
            total_memory_bytes: None,
            processes: 4096,
            cpu_weight: 50,
            worktree_bytes: 16 * 1024 * MEBIBYTE,
            worktree_files: 1_000_000,
            disk_floor_bytes: 0,
            output_file_bytes: 64 * MEBIBYTE,
            host: HostEnvironment::of_this_process(),
        }
    }
}

/// The environment from which toolchains are detected. Its other variables, which may be secret, are not passed on.
#[derive(Clone, Default)]
pub struct HostEnvironment {
    /// The home directory, if there is one.
    pub home: Option<PathBuf>,
    /// Environment variables by name.
    pub variables: BTreeMap<String, String>,
}

impl HostEnvironment {
    /// The environment of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            home: std::env::home_dir(),
            variables,
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The absolute entries of `PATH`, in order.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let path = self.variable("PATH").unwrap_or_default();
        std::env::split_paths(path)
            .filter(|entry| entry.is_absolute())
            .collect()
    }
}

impl fmt::Debug for HostEnvironment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be provider keys.
        formatter
            .debug_struct("HostEnvironment")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
