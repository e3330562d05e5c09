//! The controllers that limit jobs, and their files in each version of control groups.

use std::fs;
use std::io;
use std::path::Path;

/// A kernel controller that limits groups of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Processes,
    Cpu,
}

impl Controller {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Processes, Self::Cpu];

    /// The kernel's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// What a group may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) memory_bytes: u64,
    pub(crate) processes: Option<u64>,
    /// From 1 to 10,000; a group without a weight has 100.
    pub(crate) cpu_weight: u64,
}

/// The default CPU shares of version 1, which equal the default weight of version 2.
const SHARES: u64 = 1024;
const WEIGHT: u64 = 100;

/// Writes the limits of one controller.
pub(crate) fn limit(group: &Path, version: Version, controller: Controller, amounts: Amounts) -> io::Result<()> {
    match (version, controller) {
        (Version::Two, Controller::Memory) => {
            write(group, "memory.max", amounts.memory_bytes)?;
            // Without swap, a group is killed at its limit instead of when swap is full.
            write_if_there(group, "memory.swap.max", 0)?;
            // A command that lost one of its processes could continue with a wrong result.
            write_if_there(group, "memory.oom.group", 1)
        }
        (Version::One, Controller::Memory) => {
            write_if_there(group, "memory.use_hierarchy", 1).or_else(is_set)?;
            write(group, "memory.limit_in_bytes", amounts.memory_bytes)?;
            // Memory and swap together.
            write_if_there(group, "memory.memsw.limit_in_bytes", amounts.memory_bytes)
        }
        (_, Controller::Processes) => match amounts.processes {
            Some(count) => write(group, "pids.max", count),
            None => Ok(()),
        },
        (Version::Two, Controller::Cpu) => write(group, "cpu.weight", amounts.cpu_weight),
        (Version::One, Controller::Cpu) => {
            let shares = amounts.cpu_weight.saturating_mul(SHARES) / WEIGHT;
            write(group, "cpu.shares", shares.max(2))
        }
    }
}

/// The setting is read-only where parent groups enabled it.
fn is_set(_: io::Error) -> io::Result<()> {
    Ok(())
}

/// What happened to a group at its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Processes that the kernel killed for lack of memory.
    pub(crate) killed: u64,
    /// How often the group reached its own memory limit.
    pub(crate) memory_full: u64,
    /// How often a new process was refused.
    pub(crate) refused_processes: u64,
}

impl Events {
    pub(crate) fn add(&mut self, group: &Path, version: Version, controller: Controller) {
        match (version, controller) {
            (Version::Two, Controller::Memory) => {
                let events = read(group, "memory.events");
                self.killed += field(&events, "oom_kill");
                self.memory_full += field(&events, "max");
            }
            (Version::One, Controller::Memory) => {
                self.killed += field(&read(group, "memory.oom_control"), "oom_kill");
                let number = |name| read(group, name).trim().parse::<u64>().ok();
                // If swap is counted too, the failure counter stays zero.
                let full = number("memory.max_usage_in_bytes") >= number("memory.limit_in_bytes");
                self.memory_full += number("memory.failcnt").unwrap_or(0).max(u64::from(full));
            }
            (_, Controller::Processes) => {
                self.refused_processes += field(&read(group, "pids.events"), "max");
            }
            (_, Controller::Cpu) => {}
        }
    }
}

/// An unreadable file counts as no events.
fn read(group: &Path, name: &str) -> String {
    fs::read_to_string(group.join(name)).unwrap_or_default()
}

fn field(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(field, _)| *field == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

pub(crate) fn write(group: &Path, name: &str, value: impl ToString) -> io::Result<()> {
    let path = group.join(name);
    // Never created: a control group has all its files from the start.
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&path);
    let written = file
        .as_mut()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
        .and_then(|file| io::Write::write_all(file, value.to_string().as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn write_if_there(group: &Path, name: &str, value: u64) -> io::Result<()> {
    match write(group, name, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match_whole_names() {
        let events = "low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(field(events, "oom_kill"), 2);
        assert_eq!(field(events, "max"), 7);
        assert_eq!(field(events, "absent"), 0);
    }
}
