//! What is enforced on this host, as the probe found it.

use crate::cgroup::Controller;
use crate::enforcement::{Enforcement, Property, State};
use crate::limit::size_text;
use crate::{Isolation, Sandbox, Tier};

/// Advice if control groups can't be used.
const CONTROL_GROUPS: &str = "let the server manage control groups: run it as a systemd service with `Delegate=yes`, \
     or by hand with `systemd-run --user --scope -p Delegate=yes orchestrator serve` (docs/operations.md)";

/// Why nothing is enforced in [`Tier::None`].
pub(crate) const NO_SANDBOX: &str = "no sandbox (sandbox.tier is none)";

/// The probe's name of each property.
const PROBED: [(Property, &str); 9] = [
    (Property::User, "not root on the host"),
    (Property::Capabilities, "no capabilities"),
    (Property::Namespaces, "own namespaces"),
    (Property::Network, "no network"),
    (Property::NestedNamespaces, "refused calls fail"),
    (Property::Files, "nothing writable but the worktree and memory"),
    (Property::KernelSettings, "settings of the kernel not writable"),
    (Property::SystemCalls, "system calls filtered"),
    (Property::OutOfMemoryOrder, "ended first when memory runs out"),
];

impl Sandbox {
    /// Every property, and whether it is enforced on this host.
    #[must_use]
    pub fn enforcement(&self) -> Vec<Enforcement> {
        let mut found = self.probed_properties();
        found.push(self.landlock.clone());
        found.extend(self.group_limits());
        found.extend(self.disk_limits());
        found.sort_by_key(|enforcement| enforcement.property);
        found
    }

    /// One line for the log that names what is not enforced; `None` if everything is.
    #[must_use]
    pub fn gaps(&self) -> Option<String> {
        let found = self.enforcement();
        let gaps = found.iter().filter(|found| found.state != State::Enforced);
        let gaps: Vec<String> = gaps
            .map(|gap| format!("{} ({}: {})", gap.property, gap.state, gap.detail))
            .collect();
        (!gaps.is_empty()).then(|| gaps.join("; "))
    }

    /// The limits in one sentence.
    pub(crate) fn describe_limits(&self) -> String {
        let settings = &self.settings;
        let limits = self.groups.limits;
        let memory = match (self.groups.found(Controller::Memory), settings.address_space_bytes) {
            (Ok(_), _) => format!("{} of memory", size_text(limits.memory_bytes)),
            (Err(_), Some(bytes)) => format!("address space {} per process", size_text(bytes)),
            (Err(_), None) => "memory is not limited".to_owned(),
        };
        format!(
            "limits of a command: {memory}, {} processes, files of {}, {} and {} files added to a worktree",
            limits.processes,
            size_text(settings.file_bytes),
            size_text(settings.worktree_bytes),
            settings.worktree_files,
        )
    }

    fn group_limits(&self) -> Vec<Enforcement> {
        let limits = self.groups.limits;
        let found =
            |property, controller, value: String, otherwise: (State, String)| match self.groups.found(controller) {
                Ok(by) => Enforcement::enforced(property, format!("{value}, by {by}")),
                Err(reason) => {
                    let (state, instead) = otherwise;
                    Enforcement::new(property, state, format!("{instead}: {reason}")).advise(CONTROL_GROUPS)
                }
            };
        let memory_instead = match self.settings.address_space_bytes {
            Some(bytes) => (
                State::Partly,
                format!(
                    "{} of address space for each process only (sandbox.address_space_bytes)",
                    size_text(bytes)
                ),
            ),
            None => (State::NotEnforced, "memory is not limited".to_owned()),
        };
        let nothing = |what: &str| (State::NotEnforced, what.to_owned());
        vec![
            found(
                Property::Memory,
                Controller::Memory,
                format!(
                    "{} for each command (sandbox.memory_bytes)",
                    size_text(limits.memory_bytes)
                ),
                memory_instead,
            ),
            found(
                Property::TotalMemory,
                Controller::Memory,
                format!(
                    "{} for all commands together (sandbox.total_memory_bytes)",
                    size_text(limits.total_memory_bytes)
                ),
                nothing("the memory of all commands together is not limited"),
            ),
            found(
                Property::Processes,
                Controller::Processes,
                format!("{} for each command (sandbox.processes)", limits.processes),
                (
                    State::Partly,
                    format!("{} by a resource limit, which counts by account", limits.processes),
                ),
            ),
            found(
                Property::CpuWeight,
                Controller::Cpu,
                format!("weight {} of 100 (sandbox.cpu_weight)", limits.cpu_weight),
                nothing("commands and the server get equal shares of the CPU"),
            ),
        ]
    }

    fn disk_limits(&self) -> Vec<Enforcement> {
        let settings = &self.settings;
        let temporary = match &self.isolation {
            Isolation::Bubblewrap(features, ..) if features.sized_tmpfs => Enforcement::enforced(
                Property::TemporaryFiles,
                format!(
                    "{} for each of /tmp and home (sandbox.temporary_bytes)",
                    size_text(settings.temporary_bytes)
                ),
            ),
            Isolation::Bubblewrap(..) => Enforcement::new(
                Property::TemporaryFiles,
                State::NotEnforced,
                "this version of bubblewrap (before 0.7) can't limit the size of /tmp",
            )
            .advise("install a newer bubblewrap"),
            Isolation::None { .. } => {
                Enforcement::new(Property::TemporaryFiles, State::NotEnforced, "/tmp is the host's")
            }
        };
        let floor = match settings.disk_floor_bytes {
            0 => Enforcement::new(Property::DiskFloor, State::NotEnforced, "no floor is set")
                .advise("set engine.disk_floor_bytes"),
            bytes => Enforcement::enforced(
                Property::DiskFloor,
                format!(
                    "a command that fills a disk below {} is stopped (engine.disk_floor_bytes)",
                    size_text(bytes)
                ),
            ),
        };
        vec![
            Enforcement::enforced(
                Property::FileSize,
                format!("{} for each file (sandbox.file_bytes)", size_text(settings.file_bytes)),
            ),
            temporary,
            Enforcement::enforced(
                Property::Worktree,
                format!(
                    "{} and {} files added (sandbox.worktree_bytes, sandbox.worktree_files), measured while a command \
                     runs and after it",
                    size_text(settings.worktree_bytes),
                    settings.worktree_files
                ),
            ),
            floor,
        ]
    }

    /// The properties that the probe tests; a sandbox with a failed one does not start.
    fn probed_properties(&self) -> Vec<Enforcement> {
        PROBED
            .iter()
            .map(|(property, proven)| {
                if self.properties.iter().any(|seen| seen.name == *proven) {
                    let detail = match (&self.isolation, property) {
                        (Isolation::Bubblewrap(_, identity, _), Property::User) => identity.describe(),
                        _ => format!("{proven}, tested in a sandbox at the start"),
                    };
                    Enforcement::enforced(*property, detail)
                } else if self.tier() == Tier::None {
                    Enforcement::new(*property, State::NotEnforced, NO_SANDBOX)
                } else {
                    Enforcement::new(*property, State::NotKnown, "it was not tested")
                }
            })
            .collect()
    }
}
