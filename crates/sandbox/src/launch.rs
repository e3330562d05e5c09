//! The first program in every sandbox: it sets limits, reports that the sandbox is ready, and becomes the command.
//!
//! If [`Settings::launcher`](crate::Settings::launcher) names a program, that is the launcher, which also applies Landlock
//! ([`crate::launcher_main`]). Otherwise a shell does it, without Landlock.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::identity::Identity;
use crate::landlock::{self, not_enforced};
use crate::stage::{Stage, open_tree};
use crate::{Access, Enforcement, Settings};

/// The mark printed when the sandbox is ready. Output before it comes from the setup, output after it from the command.
pub(crate) const READY: &[u8] = b"\x01sandbox-ready\x01\n";

/// The first argument that makes a program act as the launcher.
pub(crate) const LAUNCH: &str = "\u{1}launch";

/// `ulimit` counts file sizes in these blocks in a POSIX shell.
const FILE_BLOCK_BYTES: u64 = 512;

/// The resource limits that the launcher sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) file_bytes: u64,
    /// Unset if a control group limits them.
    pub(crate) processes: Option<u64>,
    pub(crate) address_space_bytes: Option<u64>,
}

/// A program that starts commands under Landlock.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// An open descriptor: the file may be replaced by a newer version, and its path stays hidden from sandboxes.
    program: OwnedFd,
}

impl Launcher {
    /// The program from the settings; the error says why Landlock is unavailable.
    pub(crate) fn choose(settings: &Settings, identity: &Identity) -> Result<Self, Enforcement> {
        let Some(path) = &settings.launcher else {
            return Err(not_enforced("no launcher is configured"));
        };
        landlock::usable()?;
        let mapped = match identity {
            // Otherwise only root might be able to execute it.
            Identity::Subordinate(subordinate) => open_tree(path, subordinate, Access::ReadOnly).ok(),
            Identity::Own => None,
        };
        let opened = mapped.map_or_else(
            || Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?),
            Ok,
        );
        let program = opened
            .map_err(|error: io::Error| not_enforced(format!("`{}` can't be opened: {error}", path.display())))?;
        Ok(Self { program })
    }

    /// Program and arguments that run `argv` with these paths writable.
    ///
    /// # Errors
    /// When no more files can be opened.
    pub(crate) fn launch(
        &self,
        stage: &mut Stage,
        limits: Limits,
        writable: &[PathBuf],
        argv: &[String],
    ) -> io::Result<Vec<OsString>> {
        let program = stage.inherit(self.program.try_clone()?);
        let optional = |limit: Option<u64>| limit.map_or_else(OsString::new, |limit| limit.to_string().into());
        let mut arguments: Vec<OsString> = vec![
            format!("/proc/self/fd/{program}").into(),
            LAUNCH.into(),
            limits.file_bytes.to_string().into(),
            optional(limits.processes),
            optional(limits.address_space_bytes),
            writable.len().to_string().into(),
        ];
        arguments.extend(writable.iter().map(OsString::from));
        arguments.extend(argv.iter().map(OsString::from));
        Ok(arguments)
    }
}

/// Program and arguments of a shell that runs `argv` under limits.
pub(crate) fn launch_by_shell(limits: Limits, argv: &[String]) -> Vec<OsString> {
    let mut script = vec![
        "ulimit -c 0".to_owned(),
        format!("ulimit -f {}", limits.file_bytes.div_ceil(FILE_BLOCK_BYTES)),
    ];
    if let Some(count) = limits.processes {
        // The option has another letter in dash.
        script.push(format!("ulimit -u {count} || ulimit -p {count}"));
    }
    if let Some(bytes) = limits.address_space_bytes {
        script.push(format!("ulimit -v {}", bytes / 1024));
    }
    // A limit can only fail to be set where a harder one is in force already.
    let script = script
        .into_iter()
        .map(|limit| format!("{{ {limit}; }} 2>/dev/null"))
        .collect::<Vec<_>>()
        .join("\n");
    let script = format!("{script}\nprintf '\\001sandbox-ready\\001\\n' || exit 125\nexec \"$@\"");
    ["/bin/sh", "-c", &script, "sh"]
        .into_iter()
        .map(OsString::from)
        .chain(argv.iter().map(OsString::from))
        .collect()
}
