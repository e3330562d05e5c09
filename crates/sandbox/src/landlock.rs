//! A second wall on top of the mounts: for each access to a file the kernel looks whether the job was granted it, and a
//! job's signals and abstract sockets stay among its own processes (Landlock).
//!
//! Whoever is under it can mount nothing, so it is put up last, inside the finished sandbox. What is read-only within a
//! directory that may be written, such as `.git`, is left to its mount: rights can't be taken away below where they are
//! given. TCP is left alone: a job has a network of its own, where test suites listen.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    path_beneath_rules,
};

use crate::enforcement::{Enforcement, Property, State};

/// The newest version whose rights are asked for; an older kernel holds those that it knows.
const RIGHTS: ABI = ABI::V6;

/// The first version that can be used: before, no file may be moved to another directory, as git and cargo do.
const FIRST_VERSION: i64 = 2;

/// Asks `landlock_create_ruleset` for the version alone.
const ASK_VERSION: u32 = 1;

/// `/dev/null`, terminals and the like.
const DEVICES: &str = "/dev";

const NEWER_KERNEL: &str = "use a newer kernel (5.19)";

/// Whether the kernel has it, or why not and what to do about it.
pub(crate) fn usable() -> Result<(), Enforcement> {
    #[expect(
        unsafe_code,
        reason = "the library tells the version only to those that it restricts"
    )]
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
            "version {version} of the kernel's Landlock refuses to move files to another directory"
        ))
        .advise(NEWER_KERNEL),
        Some(libc::ENOSYS) => not_enforced("the kernel has no Landlock").advise(NEWER_KERNEL),
        Some(libc::EOPNOTSUPP) => not_enforced("the kernel's Landlock is switched off")
            .advise("add `landlock` to `lsm=` on the kernel's command line"),
        _ => not_enforced(format!("the kernel refuses Landlock: {error}"))
            .advise("in a container, use a newer runtime: the filters of older ones do not know it"),
    })
}

/// Landlock does not hold jobs back, for this reason.
pub(crate) fn not_enforced(reason: impl Into<String>) -> Enforcement {
    Enforcement::new(Property::Landlock, State::NotEnforced, reason)
}

/// What it is worth, by what a command under it could still do of that which nothing else refuses.
pub(crate) fn judged(past: &[String]) -> Enforcement {
    match past {
        [] => Enforcement::enforced(
            Property::Landlock,
            "beside the mounts it allows to write only what is granted, and to signal no process outside; seen in a \
             sandbox at the start",
        ),
        [signal] if signal.starts_with("kill") => Enforcement::new(
            Property::Landlock,
            State::Partly,
            "beside the mounts it allows to write only what is granted; this kernel's does not know signals and abstract \
             sockets",
        )
        .advise("use a newer kernel (6.12)"),
        past => not_enforced(format!("a command under it could do this: {}", past.join(", "))),
    }
}

/// Keeps this process, and all that it starts, from writing anywhere but beneath these paths and to devices.
///
/// # Errors
/// When the wall does not stand.
pub(crate) fn restrict(writable: &[PathBuf]) -> Result<(), String> {
    let reading = AccessFs::from_read(RIGHTS);
    // What could make a device would not get past the mounts; it has no business here all the same.
    let writing = AccessFs::from_write(RIGHTS) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let using = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let put_up = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(RIGHTS))?
            .scope(Scope::from_all(RIGHTS))?
            .create()?
            // Which of it is visible, the mounts have decided.
            .add_rules(path_beneath_rules(["/"], reading))?
            .add_rules(path_beneath_rules([DEVICES], using))?
            .add_rules(path_beneath_rules(writable, reading | writing))?
            .restrict_self()
    };
    match put_up() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => Err("the kernel does not know it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_worth_what_it_stopped() {
        let state = |past: &[&str]| {
            let past: Vec<String> = past.iter().map(|deed| (*deed).to_owned()).collect();
            judged(&past).state
        };
        let (entry, signal) = ("mknod whiteout c 0 0", "kill -0 1");
        assert_eq!(state(&[]), State::Enforced);
        assert_eq!(state(&[signal]), State::Partly);
        assert_eq!(state(&[entry]), State::NotEnforced);
        assert_eq!(state(&[entry, signal]), State::NotEnforced);
    }
}
