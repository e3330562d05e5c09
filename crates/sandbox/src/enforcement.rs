//! What is enforced on this host, property by property, as found by the probe.

use std::fmt;

use serde::Serialize;

/// One restriction or limit of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// On the host, the job runs as an unprivileged account, even if the server is root.
    User,
    /// The job has no capability.
    Capabilities,
    /// The job has its own processes, mounts, host name and IPC.
    Namespaces,
    /// The job has no network but its own loopback.
    Network,
    /// The job can't create user namespaces.
    NestedNamespaces,
    /// The job can write only what it was granted.
    Files,
    /// `/proc/sys` and the like are read-only or absent.
    KernelSettings,
    /// System calls that builds don't need are refused (seccomp).
    SystemCalls,
    /// The kernel checks file access a second time (Landlock).
    Landlock,
    /// If memory runs out, the kernel kills a job before the server, and the job can't change that.
    OutOfMemoryOrder,
    /// Memory of one job.
    Memory,
    /// Memory of all jobs together.
    TotalMemory,
    /// Processes and threads of one job.
    Processes,
    /// A smaller share of the CPU than the server's, when both want it.
    CpuWeight,
    /// The largest file.
    FileSize,
    /// The size of `/tmp` and the home directory.
    TemporaryFiles,
    /// Bytes and files that a job adds to its worktree and build cache.
    Worktree,
    /// Free space of the disk.
    DiskFloor,
}

impl Property {
    /// Every property, in the order they are shown.
    pub const ALL: [Self; 18] = [
        Self::User,
        Self::Capabilities,
        Self::Namespaces,
        Self::Network,
        Self::NestedNamespaces,
        Self::Files,
        Self::KernelSettings,
        Self::SystemCalls,
        Self::Landlock,
        Self::OutOfMemoryOrder,
        Self::Memory,
        Self::TotalMemory,
        Self::Processes,
        Self::CpuWeight,
        Self::FileSize,
        Self::TemporaryFiles,
        Self::Worktree,
        Self::DiskFloor,
    ];

    /// The name in documents and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Capabilities => "capabilities",
            Self::Namespaces => "namespaces",
            Self::Network => "network",
            Self::NestedNamespaces => "nested_namespaces",
            Self::Files => "files",
            Self::KernelSettings => "kernel_settings",
            Self::SystemCalls => "system_calls",
            Self::Landlock => "landlock",
            Self::OutOfMemoryOrder => "out_of_memory_order",
            Self::Memory => "memory",
            Self::TotalMemory => "total_memory",
            Self::Processes => "processes",
            Self::CpuWeight => "cpu_weight",
            Self::FileSize => "file_size",
            Self::TemporaryFiles => "temporary_files",
            Self::Worktree => "worktree",
            Self::DiskFloor => "disk_floor",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name().replace('_', " "))
    }
}

/// Whether a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds.
    Enforced,
    /// It holds in part; the detail names the gap.
    Partly,
    /// It does not hold.
    NotEnforced,
    /// It could not be determined.
    NotKnown,
}

impl State {
    /// The name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partly => "partly",
            Self::NotEnforced => "not_enforced",
            Self::NotKnown => "not_known",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name().replace('_', " "))
    }
}

/// One property on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// Which restriction or limit.
    pub property: Property,
    /// Whether it is enforced.
    pub state: State,
    /// What enforces it, with its value, for people.
    pub detail: String,
    /// How to enforce it, if possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Enforcement {
    /// It holds.
    pub(crate) fn enforced(property: Property, detail: impl Into<String>) -> Self {
        Self::new(property, State::Enforced, detail)
    }

    /// It holds in part or not at all.
    pub(crate) fn new(property: Property, state: State, detail: impl Into<String>) -> Self {
        Self {
            property,
            state,
            detail: detail.into(),
            advice: None,
        }
    }

    /// Adds how to enforce it.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_serialization() {
        for property in Property::ALL {
            assert_eq!(serde_name(&property), property.name());
        }
        for state in [State::Enforced, State::Partly, State::NotEnforced, State::NotKnown] {
            assert_eq!(serde_name(&state), state.name());
        }
    }

    fn serde_name(value: &impl Serialize) -> String {
        let text = serde_json::to_value(value).unwrap();
        text.as_str().unwrap().to_owned()
    }
}
