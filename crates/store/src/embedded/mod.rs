//! A private Postgres in the data directory, for whoever has named no database.
//!
//! [`start`] finds the PostgreSQL programs of the machine, makes a cluster on first use and leaves a server
//! running on a unix socket, durable (fsync on). A server that survived the death of its orchestrator is found
//! again rather than started twice. Nothing here is asynchronous: call it from a blocking task.

mod account;
mod binaries;
mod cluster;
mod data_dir;
mod error;
mod lock;
mod presence;

pub use error::{EmbeddedError, LockError};
pub use lock::DataDirLock;

use account::Account;
use cluster::Cluster;
use sqlx::postgres::PgConnectOptions;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The environment variable that names the directory of the PostgreSQL programs.
pub const BINARIES_VARIABLE: &str = "ORCHESTRATOR_PG_BIN";
/// The environment variable that names the account the server runs as when we are root.
pub const ACCOUNT_VARIABLE: &str = "ORCHESTRATOR_PG_USER";

/// How the private server is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory that holds `initdb`, `postgres` and `pg_ctl`; looked for where `None`.
    pub binaries: Option<PathBuf>,
    /// The account the server runs as when we are root; `postgres`, else `nobody`, where `None`.
    pub account: Option<String>,
    /// Whether a commit survives a power cut.
    pub durability: Durability,
    /// Connections the server accepts.
    pub max_connections: u32,
}

impl Default for Settings {
    /// The settings of the product, with what the environment names.
    fn default() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            binaries: variable(BINARIES_VARIABLE).map(PathBuf::from),
            account: variable(ACCOUNT_VARIABLE).map(|account| account.to_string_lossy().into_owned()),
            durability: Durability::Full,
            max_connections: 100,
        }
    }
}

/// Whether a commit survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on disk before it is reported.
    Full,
    /// Nothing is forced to disk: for databases that a test throws away.
    None,
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// How to connect to it.
    pub options: PgConnectOptions,
    /// `false` where a server left by an earlier process was found.
    pub started_here: bool,
    cluster: Cluster,
}

impl Running {
    /// Stops the server, letting it write everything out. Open connections are ended.
    pub fn stop(self) -> Result<(), EmbeddedError> {
        self.cluster.stop()
    }

    /// Where the server keeps its files.
    pub fn directory(&self) -> &Path {
        self.cluster.directory()
    }

    /// The directory of the programs that are in use.
    pub fn binaries(&self) -> &Path {
        self.cluster.binaries()
    }
}

/// Whether a data directory holds a private cluster. Nothing is made by asking.
///
/// # Errors
/// When the data directory can't be looked into.
pub fn exists(data_dir: &Path) -> Result<bool, EmbeddedError> {
    let directory = data_dir.join("postgres");
    match std::fs::metadata(&directory) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(EmbeddedError::directory("read", &directory, source)),
    }
}

/// How to connect to the private server of a data directory if it is up, whoever started it. Nothing is started, and
/// nobody needs to hold the [`DataDirLock`] to ask.
pub fn find_running(data_dir: &Path) -> Option<PgConnectOptions> {
    cluster::find_running(&data_dir.canonicalize().ok()?)
}

/// Brings the private server of a data directory up, or finds it running.
///
/// The caller holds the [`DataDirLock`] of the directory: nobody else starts or stops this server meanwhile.
pub fn start(data_dir: &Path, settings: &Settings) -> Result<Running, EmbeddedError> {
    data_dir::create(data_dir)?;
    let data_dir = data_dir
        .canonicalize()
        .map_err(|source| EmbeddedError::directory("read", data_dir, source))?;
    let directory = data_dir.join("postgres");
    let account = Account::choose(settings.account.as_deref(), &directory)?;
    account.let_in(&data_dir)?;
    let cluster = Cluster::open(&data_dir, directory, account, settings)?;
    let started_here = cluster.ensure_running()?;
    Ok(Running {
        options: cluster.options(),
        started_here,
        cluster,
    })
}
