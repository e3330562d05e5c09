//! Opens an existing database for a command that reads or makes one change. Nothing is created, migrated or continued.

use super::{
    OpenError, Purpose, blocking, install_crypto, lock,
    settings::{engine_settings, server_settings, telemetry_settings},
};
use crate::{
    config::{Loaded, masked_address, model_settings},
    failure::Failure,
};
use engine::Engine;
use sandbox::Sandbox;
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{
    Store,
    connect::{self, Access, Database, PoolSettings},
    embedded::{self, DataDirLock, Running},
};
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a private database may take to start with its schema, or to stop, while a process holds its directory.
const TIMEOUT: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A command sends one request at a time.
const CONNECTIONS: u32 = 4;

/// An existing database behind the HTTP interface of a server.
pub(crate) struct Existing {
    pub(crate) address: SocketAddr,
    /// Token of the interface, known to this command alone.
    pub(crate) token: SecretString,
    engine: Engine,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: CancellationToken,
    opened: Opened,
    telemetry: Telemetry,
}

/// The database, with the server that was started and the lock that is held for it.
struct Opened {
    store: Store,
    /// The private server, where it was started for this command.
    postgres: Option<Running>,
    _lock: Option<DataDirLock>,
}

impl Existing {
    /// Opens the database; `None` where it does not exist.
    pub(crate) async fn open(loaded: &Loaded, access: Access) -> Result<Option<Self>, Failure> {
        install_crypto();
        let Some(opened) = database(loaded, access).await? else {
            return Ok(None);
        };
        match Parts::open(loaded, access, &opened.store).await {
            Ok(parts) => Ok(Some(Self {
                address: parts.address,
                token: parts.token,
                engine: parts.engine,
                server: parts.server,
                stop_server: parts.stop_server,
                opened,
                telemetry: parts.telemetry,
            })),
            Err(failure) => {
                opened.close().await;
                Err(failure)
            }
        }
    }

    /// Whether the database was started for this command, so that no other process works on it.
    pub(crate) fn is_alone(&self) -> bool {
        self.opened.postgres.is_some()
    }

    /// Closes what was opened.
    pub(crate) async fn close(self) {
        self.stop_server.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the interface ended with an error"),
            Err(error) => tracing::debug!(%error, "the interface ended with an error"),
        }
        self.engine.drain().await;
        self.opened.close().await;
        self.telemetry.shutdown();
    }
}

/// Where a command looks when there is no server, without passwords.
pub(crate) fn place(loaded: &Loaded) -> String {
    let data_dir = loaded.config.data_dir.display();
    match &loaded.config.database.url {
        Some(url) => format!("the database {}", masked_address(url)),
        None => format!("the private database of the data directory {data_dir}"),
    }
}

/// Whether there is a database with our schema.
pub(crate) async fn is_there(loaded: &Loaded) -> Result<bool, Failure> {
    match &loaded.config.database.url {
        None => private_is_there(&loaded.config.data_dir),
        Some(url) => match connect(Database::Url(url.clone()), loaded, Access::ReadOnly).await {
            Ok(store) => {
                store.close().await;
                Ok(true)
            }
            Err(connect::OpenError::Empty { .. }) => Ok(false),
            Err(error) => Err(failed(loaded, error)),
        },
    }
}

/// Describes whether a database server can be used. Nothing is created there.
pub(crate) async fn try_database(loaded: &Loaded, url: &str) -> Result<String, Failure> {
    let shown = masked_address(url);
    match connect(Database::Url(url.to_owned()), loaded, Access::ReadOnly).await {
        Ok(store) => {
            store.close().await;
            Ok(format!("{shown} can be used"))
        }
        Err(connect::OpenError::Empty { .. }) => {
            Ok(format!("{shown} answers; its tables are created at the first start"))
        }
        Err(connect::OpenError::Older { found, known, .. }) => Ok(format!(
            "{shown} answers; the next start migrates its schema from {found} to {known}"
        )),
        Err(error) => Err(failed(loaded, error)),
    }
}

fn private_is_there(data_dir: &Path) -> Result<bool, Failure> {
    embedded::exists(data_dir).map_err(Failure::from)
}

async fn database(loaded: &Loaded, access: Access) -> Result<Option<Opened>, Failure> {
    let Some(url) = &loaded.config.database.url else {
        return private(loaded, access).await;
    };
    match connect(Database::Url(url.clone()), loaded, access).await {
        Ok(store) => Ok(Some(Opened::found(store))),
        Err(connect::OpenError::Empty { .. }) => Ok(None),
        Err(error) => Err(failed(loaded, error)),
    }
}

/// The private database: the running one, or one started for this command where no process holds the directory.
async fn private(loaded: &Loaded, access: Access) -> Result<Option<Opened>, Failure> {
    let data_dir = &loaded.config.data_dir;
    if !private_is_there(data_dir)? {
        return Ok(None);
    }
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let held = match running(loaded, access).await {
            Some(Ok(store)) => return Ok(Some(Opened::found(store))),
            Some(Err(error)) if !is_transient(&error) => return Err(failed(loaded, error)),
            Some(Err(error)) => failed(loaded, error),
            None => Failure::environment("the private database of the data directory is not running"),
        };
        match lock(data_dir).await {
            Ok(lock) => return start(loaded, access, lock).await,
            // A process holds the directory: the database is starting or stopping.
            Err(OpenError::Held(_)) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
            Err(OpenError::Held(failure)) => return Err(failure.with("found", held.problem)),
            Err(OpenError::Failed(failure)) => return Err(failure),
        }
    }
}

/// Whether a database that is starting may soon be usable.
fn is_transient(error: &connect::OpenError) -> bool {
    use connect::OpenError;
    match error {
        OpenError::Unreachable { .. }
        | OpenError::Refused { .. }
        | OpenError::Missing { .. }
        | OpenError::Empty { .. }
        | OpenError::Older { .. } => true,
        OpenError::Address(_)
        | OpenError::TooOld { .. }
        | OpenError::Newer { .. }
        | OpenError::Encoding { .. }
        | OpenError::Migration { .. } => false,
    }
}

async fn running(loaded: &Loaded, access: Access) -> Option<Result<Store, connect::OpenError>> {
    let directory = loaded.config.data_dir.clone();
    let options = blocking(move || embedded::find_running(&directory)).await?;
    Some(connect(Database::from(options), loaded, access).await)
}

async fn start(loaded: &Loaded, access: Access, lock: DataDirLock) -> Result<Option<Opened>, Failure> {
    let directory = lock.data_dir().to_owned();
    let started = blocking(move || embedded::start(&directory, &embedded::Settings::default())).await;
    let running = started.map_err(Failure::from)?;
    let connected = connect(Database::from(running.options.clone()), loaded, access).await;
    // A database that outlived its process is left running.
    let postgres = running.started_here.then_some(running);
    match connected {
        Ok(store) => Ok(Some(Opened {
            store,
            postgres,
            _lock: Some(lock),
        })),
        Err(error) => {
            super::database::stop_postgres(postgres).await;
            match error {
                connect::OpenError::Empty { .. } => Ok(None),
                error => Err(failed(loaded, error)),
            }
        }
    }
}

async fn connect(database: Database, loaded: &Loaded, access: Access) -> Result<Store, connect::OpenError> {
    let settings = PoolSettings {
        connections: CONNECTIONS,
        ..super::database::pool_settings(loaded, &loaded.config.data_dir)
    };
    Store::open_existing(database, &settings, access).await
}

fn failed(loaded: &Loaded, error: connect::OpenError) -> Failure {
    Failure::from(error).with("looked in", place(loaded))
}

impl Opened {
    fn found(store: Store) -> Self {
        Self {
            store,
            postgres: None,
            _lock: None,
        }
    }

    async fn close(self) {
        super::database::close_database(self.store, self.postgres).await;
    }
}

/// The interface, and the engine behind it, which claims no work.
struct Parts {
    address: SocketAddr,
    token: SecretString,
    engine: Engine,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: CancellationToken,
    telemetry: Telemetry,
}

impl Parts {
    async fn open(loaded: &Loaded, access: Access, store: &Store) -> Result<Self, Failure> {
        let data_dir = &loaded.config.data_dir;
        let purpose = match access {
            Access::ReadOnly => Purpose::Read,
            Access::ReadWrite => Purpose::Change,
        };
        // Two random ids, which nobody guesses while the command runs.
        let token = SecretString::from(format!("{}{}", domain::RunId::new(), domain::RunId::new()));
        let server_settings = server::Settings {
            token: Some(server::Token::new(token.expose_secret())),
            ..server_settings(loaded)?
        };
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), &server_settings)
            .await
            .map_err(Failure::from)?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::environment("the command has no address of its own").caused_by(error))?;
        let models = model_settings(loaded)?;
        let telemetry = telemetry::init(telemetry_settings(loaded, data_dir, &models, super::QUIET_LOG)?)
            .map_err(|error| Failure::usage("logs and metrics can't be started").caused_by(error))?;
        let models =
            llm::Models::new(models).map_err(|error| Failure::usage("the models can't be used").caused_by(error))?;
        // Nothing is claimed, so no command runs.
        let sandbox = Sandbox::unavailable();
        let settings = engine_settings(loaded, data_dir, purpose)?;
        let engine = Engine::start(settings, store.clone(), Arc::new(models), Arc::new(sandbox))
            .await
            .map_err(Failure::from)?;
        let stop_server = CancellationToken::new();
        let server = server::serve(listener, engine.clone(), server_settings, stop_server.clone());
        Ok(Self {
            address,
            token,
            engine,
            server: tokio::spawn(server),
            stop_server,
            telemetry,
        })
    }
}
