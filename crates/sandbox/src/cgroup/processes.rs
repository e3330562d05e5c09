//! Lists and kills the processes of a group.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::controller::{Version, write};

/// Rounds of killing a group's processes, in case it keeps creating new ones.
const ROUNDS: usize = 100;

/// Wait between two rounds, for killed processes to exit.
const ROUND: Duration = Duration::from_millis(1);

/// Process numbers in a group.
pub(crate) fn of(group: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(group.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// Kills every process of a group whose version is unknown.
pub(crate) fn kill_in(group: &Path) {
    let version = if group.join("cgroup.kill").exists() {
        Version::Two
    } else {
        Version::One
    };
    kill(group, version);
}

/// Kills every process of a group.
pub(crate) fn kill(group: &Path, version: Version) {
    let empty = || of(group).is_ok_and(|members| members.is_empty());
    if empty() || (version == Version::Two && write(group, "cgroup.kill", 1).is_ok()) {
        return;
    }
    // Prevents new processes, where the group has that controller.
    drop(write(group, "pids.max", 0));
    for _ in 0..ROUNDS {
        match of(group) {
            Ok(members) if !members.is_empty() => members.into_iter().for_each(|member| kill_member(group, member)),
            Ok(_) | Err(_) => return,
        }
        std::thread::sleep(ROUND);
    }
}

/// Kills a process if the group still lists it: process numbers are reused.
fn kill_member(group: &Path, member: i32) {
    let Some(pid) = Pid::from_raw(member) else { return };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if of(group).is_ok_and(|members| members.contains(&member)) {
        // The only failure is that it has ended.
        pidfd_send_signal(&process, Signal::KILL).unwrap_or_default();
    }
}

/// Whether a process is this one or a descendant of it.
pub(crate) fn is_ours(process: i32) -> bool {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    std::iter::successors(Some(process), |process| parent(*process)).any(|process| process == own)
}

fn parent(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it may hold any character; it ends at the last parenthesis.
    let (_, rest) = stat.rsplit_once(") ")?;
    let parent = rest.split(' ').nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}
