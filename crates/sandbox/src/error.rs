//! Why a sandbox is unavailable, or why a job could not run in it.

use std::io;
use std::path::PathBuf;

/// A failure outside the command itself; a command that fails is a [`Finished`](crate::Finished).
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The sandbox program is not installed.
    #[error(
        "the sandbox program `{program}` was not found: install it (Debian, Ubuntu: `apt-get install bubblewrap`; \
         Fedora: `dnf install bubblewrap`; Arch: `pacman -S bubblewrap`), or start with `--sandbox none` to run \
         workers without any sandbox"
    )]
    Missing {
        /// The program that was not found.
        program: PathBuf,
    },
    /// The system does not let the program create a sandbox.
    #[error(
        "the sandbox does not work here: {output}\n{advice}\nOr start with `--sandbox none` to run workers without any sandbox."
    )]
    Refused {
        /// What the program printed.
        output: String,
        /// What to enable.
        advice: String,
    },
    /// This process is root, and its jobs can't run as another account.
    #[error(
        "this server is root, and its sandboxes would be root on the host as well: {reason}. Start it as an ordinary \
         user, or with all capabilities of root (in a container: `--privileged`, or `--user` with an ordinary user). Or \
         start with `--sandbox none` to run workers without any sandbox"
    )]
    Root {
        /// Why they can't.
        reason: String,
    },
    /// The file system does not support id-mapped mounts.
    #[error(
        "this server is root, and `{path}` is on a file system ({file_system}) that does not support id-mapped mounts: \
         {source}. Put the data directory on ext4, xfs, btrfs or tmpfs (kernel 5.12 or newer), or start the server as an \
         ordinary user"
    )]
    NotMappable {
        /// The path that a job needs to write.
        path: PathBuf,
        /// The kernel's name of the file system.
        file_system: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The sandbox runs commands, but a property that the product relies on does not hold.
    #[error(
        "the sandbox leaks on this host: {failures}. Nothing runs in a sandbox that leaks: remove the cause, use another \
         version of bubblewrap or of the kernel, or start with `--sandbox none` to run workers without any sandbox"
    )]
    Leaks {
        /// Each failed property, with what the probe saw.
        failures: String,
    },
    /// The sandbox for this job could not be set up.
    #[error("the sandbox for this command could not be set up: {output}")]
    Setup {
        /// What the program printed.
        output: String,
    },
    /// The job is invalid.
    #[error("the command cannot be run in a sandbox: {0}")]
    BadJob(String),
    /// A path in the settings cannot be granted.
    #[error("`{path}` cannot be granted to the sandbox: {reason}; correct it in the sandbox settings")]
    BadGrant {
        /// The path as configured.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file for the full output could not be created.
    #[error("the output file `{path}` could not be created: {source}")]
    OutputFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The process only reads, and runs no command.
    #[error("this process runs no commands")]
    Unavailable,
    /// A system call that a sandbox needs failed.
    #[error("{doing} failed: {source}")]
    System {
        /// The step that failed.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}

impl SandboxError {
    /// Wraps a system error with the step that failed.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
