//! The launcher inside the sandbox: sets limits, applies Landlock and becomes the command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::landlock::restrict;
use crate::launch::{LAUNCH, Limits, READY};
use crate::stage::{FIRST_OTHER, close_on_exec_from};

/// The exit code when the sandbox could not be finished.
const UNFINISHED: u8 = 125;

/// A shell's exit codes for a program that could not be started.
const NOT_STARTED: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Becomes the command of a job if this process was started as the launcher. The program named by
/// [`Settings::launcher`](crate::Settings::launcher) must call it first.
///
/// Returns `None` at an ordinary start, and an exit code if the command could not be started.
#[must_use]
pub fn launcher_main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != LAUNCH {
        return None;
    }
    let code = match Launch::parse(arguments) {
        Some(launch) => launch.perform(),
        None => fail("invalid arguments for the launcher", UNFINISHED),
    };
    Some(ExitCode::from(code))
}

/// The parsed arguments of the launcher.
struct Launch {
    limits: Limits,
    writable: Vec<PathBuf>,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Launch {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let limits = Limits {
            file_bytes: number(&arguments.next()?)?,
            processes: optional_number(&arguments.next()?)?,
            address_space_bytes: optional_number(&arguments.next()?)?,
        };
        let writable = usize::try_from(number(&arguments.next()?)?).ok()?;
        Some(Self {
            limits,
            writable: arguments.by_ref().take(writable).map(PathBuf::from).collect(),
            program: arguments.next()?,
            arguments: arguments.collect(),
        })
    }

    /// Returns only if the command could not be started.
    fn perform(self) -> u8 {
        self.limits.set();
        // The probe saw Landlock work, so no command runs without it.
        if let Err(reason) = restrict(&self.writable) {
            return fail(&format!("Landlock could not be applied: {reason}"), UNFINISHED);
        }
        // The descriptor of this program is one of them.
        close_on_exec_from(FIRST_OTHER);
        if rustix::io::write(rustix::stdio::stdout(), READY) != Ok(READY.len()) {
            return UNFINISHED;
        }
        let error = Command::new(&self.program).args(&self.arguments).exec();
        let code = if error.kind() == io::ErrorKind::NotFound {
            NOT_FOUND
        } else {
            NOT_STARTED
        };
        fail(&format!("{}: {error}", self.program.display()), code)
    }
}

impl Limits {
    fn set(self) {
        lower(Resource::Core, 0);
        lower(Resource::Fsize, self.file_bytes);
        for (resource, limit) in [
            (Resource::Nproc, self.processes),
            (Resource::As, self.address_space_bytes),
        ] {
            if let Some(limit) = limit {
                lower(resource, limit);
            }
        }
    }
}

/// Lowers a limit; a lower one stays.
fn lower(resource: Resource, limit: u64) {
    let present = getrlimit(resource);
    let least = |present: Option<u64>| Some(present.map_or(limit, |present| present.min(limit)));
    let lowered = Rlimit {
        current: least(present.current),
        maximum: least(present.maximum),
    };
    // Lowering a limit always succeeds.
    setrlimit(resource, lowered).unwrap_or_default();
}

fn number(argument: &OsString) -> Option<u64> {
    argument.to_str()?.parse().ok()
}

/// `Some(None)` for an empty argument.
fn optional_number(argument: &OsString) -> Option<Option<u64>> {
    if argument.is_empty() {
        return Some(None);
    }
    number(argument).map(Some)
}

fn fail(text: &str, code: u8) -> u8 {
    // If nobody reads the text, the code still reports it.
    rustix::io::write(rustix::stdio::stderr(), format!("{text}\n").as_bytes()).unwrap_or_default();
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Option<Launch> {
        Launch::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_parsed() {
        let launch = parsed(&["7", "", "9", "2", "/a b", "/c", "sh", "-c", ""]).unwrap();
        let limits = Limits {
            file_bytes: 7,
            processes: None,
            address_space_bytes: Some(9),
        };
        assert_eq!(launch.limits, limits);
        assert_eq!(launch.writable, [PathBuf::from("/a b"), PathBuf::from("/c")]);
        assert_eq!(
            (launch.program, launch.arguments),
            ("sh".into(), vec!["-c".into(), "".into()])
        );
    }

    #[test]
    fn other_arguments_are_rejected() {
        for arguments in [
            &[][..],
            &["7", "8", "9", "0"],
            &["7", "8", "9", "2", "/a", "sh"],
            &["7", "8", "x", "0", "sh"],
            &["-1", "8", "9", "0", "sh"],
        ] {
            assert!(parsed(arguments).is_none(), "{arguments:?}");
        }
    }
}
