//! What can go wrong with the private server, each with the way out.

use std::path::{Path, PathBuf};

/// Why the private server is not there.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// PostgreSQL is not installed, as far as could be seen.
    #[error(
        "no PostgreSQL server programs (initdb, postgres, pg_ctl) were found\n  \
         Debian, Ubuntu: apt-get install -y postgresql    Fedora: dnf install postgresql-server    \
         macOS: brew install postgresql@17\n  \
         or name their directory in ORCHESTRATOR_PG_BIN, or name a server of yours in DATABASE_URL"
    )]
    NoBinaries,
    /// The directory that was named lacks a program.
    #[error(
        "ORCHESTRATOR_PG_BIN names {directory}, which lacks {missing}; name the directory that holds initdb, postgres and pg_ctl"
    )]
    BadBinaries {
        /// The directory.
        directory: PathBuf,
        /// The first program it lacks.
        missing: &'static str,
    },
    /// The cluster was made by a version of PostgreSQL that is not here.
    #[error(
        "the database in {directory} was made by PostgreSQL {wanted}, which is not installed (found: {found})\n  \
         install that version (Debian, Ubuntu: apt-get install -y postgresql-{wanted}), or move it over with pg_upgrade"
    )]
    OtherVersion {
        /// The cluster.
        directory: PathBuf,
        /// The major version that made it.
        wanted: String,
        /// What is installed.
        found: String,
    },
    /// The data directory can't be made or written.
    #[error(
        "cannot {action} {path}: {source}\n  choose another data directory with --data-dir, or mend its permissions"
    )]
    Directory {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk has no room.
    #[error(
        "no space left on the disk of {path}; free some, or choose another data directory with --data-dir\n  {detail}"
    )]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// What the system or the server said.
        detail: String,
    },
    /// We are root, PostgreSQL refuses to be, and there is no account to run it as.
    #[error(
        "running as root, and there is no account {wanted} to run the database server as (it refuses to run as root)\n  \
         name one in ORCHESTRATOR_PG_USER, or run as an ordinary user"
    )]
    NoAccount {
        /// The names that were looked for.
        wanted: String,
    },
    /// We are root, and the account of the server can't get to the data directory.
    #[error(
        "the database server can't run as root, and the account {account} it would run as can't enter {blocked}\n  \
         choose a data directory outside it (--data-dir /var/lib/agent-orchestrator), or let others pass through it (chmod o+x {blocked})"
    )]
    NotTraversable {
        /// The account of the server.
        account: String,
        /// The directory that shuts it out.
        blocked: PathBuf,
    },
    /// The cluster belongs to somebody else.
    #[error(
        "{path} belongs to another user (uid {owner}); run as that user, or choose another data directory with --data-dir"
    )]
    NotOurs {
        /// The cluster or the socket directory.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed in {directory}: {detail}")]
    Program {
        /// Which one.
        program: &'static str,
        /// The cluster.
        directory: PathBuf,
        /// What it said.
        detail: String,
    },
}

impl EmbeddedError {
    /// The error for a failed operation on a file or directory.
    pub(super) fn directory(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull {
                path: path.to_owned(),
                detail: format!("could not {action} it: {source}"),
            };
        }
        Self::Directory {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The error for a program that ended with a failure and these words.
    pub(super) fn program(program: &'static str, directory: &Path, detail: &str) -> Self {
        let detail = detail.trim();
        if speaks_of_a_full_disk(detail) || has_no_room(directory) {
            return Self::DiskFull {
                path: directory.to_owned(),
                detail: detail.to_owned(),
            };
        }
        Self::Program {
            program,
            directory: directory.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// Below this a cluster can neither be made nor started.
const LEAST_ROOM_BYTES: u64 = 64 << 20;

fn speaks_of_a_full_disk(detail: &str) -> bool {
    [
        "No space left on device",
        "Check free disk space",
        "Disk quota exceeded",
    ]
    .iter()
    .any(|words| detail.contains(words))
}

/// A server on a full disk can't always write down why it ended.
fn has_no_room(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|path| path.exists());
    existing
        .and_then(|path| rustix::fs::statvfs(path).ok())
        .is_some_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM_BYTES)
}

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works in it.
    #[error(
        "another orchestrator{holder} uses the data directory {data_dir}\n  \
         commands find a server by themselves; wait until it ends, stop it, or choose another data directory with --data-dir"
    )]
    Held {
        /// The directory.
        data_dir: PathBuf,
        /// ` (process 123)` where it is known.
        holder: String,
    },
    /// The directory or the lock file can't be made.
    #[error(transparent)]
    Directory(#[from] EmbeddedError),
}
