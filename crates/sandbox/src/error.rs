//! Why a sandbox is not there, or a job could not be run in it.

use std::io;
use std::path::PathBuf;

/// What went wrong outside the command itself; a command that fails is a [`Finished`](crate::Finished).
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program that builds the room is not there.
    #[error(
        "the sandbox program `{program}` was not found: install it (Debian, Ubuntu: `apt-get install bubblewrap`; \
         Fedora: `dnf install bubblewrap`; Arch: `pacman -S bubblewrap`), or start with `--sandbox none` to run \
         workers without any sandbox"
    )]
    Missing {
        /// The program that was looked for.
        program: PathBuf,
    },
    /// The program is there but the system does not let it build the room.
    #[error(
        "the sandbox does not work here: {output}\n{advice}\nOr start with `--sandbox none` to run workers without any sandbox."
    )]
    Refused {
        /// What the program said.
        output: String,
        /// What to enable.
        advice: String,
    },
    /// This process is root, and its jobs can't be made somebody else.
    #[error(
        "this server is root, and its sandboxes would be root on the host as well: {reason}. Start it as an ordinary \
         user, or with all rights of root (in a container: `--privileged`, or `--user` with an ordinary one). Or start \
         with `--sandbox none` to run workers without any sandbox"
    )]
    Root {
        /// What stands in the way.
        reason: String,
    },
    /// The file system can't show files of root as those of another account.
    #[error(
        "this server is root, and `{path}` lies on a file system ({file_system}) whose files can't be shown to a \
         sandbox as its own: {source}. Put the data directory on ext4, xfs, btrfs or tmpfs (kernel 5.12 or newer), or start \
         the server as an ordinary user"
    )]
    NotMappable {
        /// What a job needs to write.
        path: PathBuf,
        /// The kernel's name of the file system.
        file_system: String,
        /// What the system said.
        source: io::Error,
    },
    /// The sandbox runs commands and does not hold what is relied on.
    #[error(
        "the sandbox does not hold here: {failures}. Nothing runs in a sandbox that leaks: remove the cause, use another \
         version of bubblewrap or of the kernel, or start with `--sandbox none` to run workers without any sandbox"
    )]
    Leaks {
        /// Each property that failed, with what was seen.
        failures: String,
    },
    /// The room could not be built for this job.
    #[error("the sandbox for this command could not be set up: {output}")]
    Setup {
        /// What the program said.
        output: String,
    },
    /// The job itself makes no sense.
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
    /// The file that should keep the whole output could not be made.
    #[error("the output file `{path}` could not be created: {source}")]
    OutputFile {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something a sandbox needs.
    #[error("{doing} failed: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SandboxError {
    /// Wraps a system error with what was being done.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}
