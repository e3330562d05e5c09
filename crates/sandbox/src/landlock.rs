//! Landlock, a second layer behind the mounts: the kernel checks each file access against the job's grants, and confines
//! signals and abstract sockets to the job's own processes.
//!
//! A process under Landlock can't mount, so it is applied last, inside the finished sandbox. A read-only path within a
//! writable directory, such as `.git`, relies on its mount: Landlock can't remove rights below a directory that has them.
//! TCP is not restricted: a job has its own network, on which test suites listen.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};

use crate::enforcement::{Enforcement, Property, State};

/// The newest requested version; an older kernel enforces the rights that it knows.
const RIGHTS: ABI = ABI::V6;

/// The oldest usable version: before it, files can't be moved to another directory, as git and cargo do.
const FIRST_VERSION: i64 = 2;

/// The flag that makes `landlock_create_ruleset` return the version.
const ASK_VERSION: u32 = 1;

/// `/dev/null`, terminals and the like.
const DEVICES: &str = "/dev";

const NEWER_KERNEL: &str = "use a newer kernel (5.19)";

/// Whether the kernel supports Landlock; the error says why not, with advice.
pub(crate) fn usable() -> Result<(), Enforcement> {
    #[expect(unsafe_code, reason = "the library reports the version only while it restricts")]
    // SAFETY: without a pointer and a length the call touches no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            ASK_VERSION,
        )
    };
    if version >= FIRST_VERSION {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        _ if version >= 0 => not_enforced(format!(
            "version {version} of the kernel's Landlock can't move files to another directory"
        ))
        .advise(NEWER_KERNEL),
        Some(libc::ENOSYS) => not_enforced("the kernel has no Landlock").advise(NEWER_KERNEL),
        Some(libc::EOPNOTSUPP) => not_enforced("the kernel's Landlock is switched off")
            .advise("add `landlock` to `lsm=` on the kernel's command line"),
        _ => not_enforced(format!("the kernel refuses Landlock: {error}"))
            .advise("in a container, use a newer runtime: the filters of older ones do not know it"),
    })
}

/// Landlock is not enforced, for this reason.
pub(crate) fn not_enforced(reason: impl Into<String>) -> Enforcement {
    Enforcement::new(Property::Landlock, State::NotEnforced, reason)
}

/// The state of Landlock, by the actions that it failed to stop and that nothing else stops.
pub(crate) fn assess(not_stopped: &[String]) -> Enforcement {
    match not_stopped {
        [] => Enforcement::enforced(
            Property::Landlock,
            "besides the mounts, it allows writing only to grants, and no signals to processes outside; tested in a \
             sandbox at the start",
        ),
        [signal] if signal.starts_with("kill") => Enforcement::new(
            Property::Landlock,
            State::Partly,
            "besides the mounts, it allows writing only to grants; this kernel's Landlock does not cover signals and \
             abstract sockets",
        )
        .advise("use a newer kernel (6.12)"),
        actions => not_enforced(format!("a command under it succeeded with: {}", actions.join(", "))),
    }
}

/// Restricts this process and its descendants to writing below these paths and to devices.
///
/// # Errors
/// When the kernel does not enforce it.
pub(crate) fn restrict(writable: &[PathBuf]) -> Result<(), String> {
    let reading = AccessFs::from_read(RIGHTS);
    // The mounts prevent the use of devices anyway; creating them is refused as well.
    let writing = AccessFs::from_write(RIGHTS) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let using = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let apply = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(RIGHTS))?
            .scope(Scope::from_all(RIGHTS))?
            .create()?
            // The mounts decide what is visible.
            .add_rules(path_beneath_rules(["/"], reading))?
            .add_rules(path_beneath_rules([DEVICES], using))?
            .add_rules(path_beneath_rules(writable, reading | writing))?
            .restrict_self()
    };
    match apply() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => Err("the kernel does not know it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_follows_from_stopped_actions() {
        let state = |actions: &[&str]| {
            let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
            assess(&actions).state
        };
        let (entry, signal) = ("mknod whiteout c 0 0", "kill -0 1");
        assert_eq!(state(&[]), State::Enforced);
        assert_eq!(state(&[signal]), State::Partly);
        assert_eq!(state(&[entry]), State::NotEnforced);
        assert_eq!(state(&[entry, signal]), State::NotEnforced);
    }
}
