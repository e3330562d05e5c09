//! The harness: every part of the product in one process, opened in order and closed in the reverse of it.

mod database;
mod delivery;
mod existing;
mod settings;

pub(crate) use existing::{Existing, is_there, place, try_database};
pub(crate) use settings::{server_settings, shared_hubs};

use crate::{
    config::{Loaded, model_settings},
    failure::Failure,
    presence::{Presence, Published},
};
use database::{close_database, open_database};
use domain::RunId;
use engine::Engine;
use sandbox::Sandbox;
use settings::{add_scripted, engine_settings, note_purpose, sandbox_settings, telemetry_settings};
use std::{io::Write, net::SocketAddr, path::Path, sync::Arc};
use store::{
    Store,
    embedded::{DataDirLock, LockError, Running},
};
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What differs between harnesses, besides the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// Log filter where the configuration has none.
    pub(crate) log: &'static str,
    /// A scripted model server, with the names and prices of its models.
    pub(crate) scripted: Option<Scripted>,
    pub(crate) purpose: Purpose,
}

/// What a harness is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Working on everything that is unfinished.
    Work,
    /// Working remotely for a server on another machine, which has the workspaces.
    Help,
    /// Delivering one run; nothing else is worked on.
    Deliver(RunId),
    /// Deleting expired data; nothing is worked on.
    Tidy,
    /// Reading.
    Read,
    /// Making one change.
    Change,
}

impl Purpose {
    /// Whether other commands may find this process and use it. One with a single job takes no requests.
    fn is_published(self) -> bool {
        match self {
            Self::Work | Self::Help => true,
            Self::Deliver(_) | Self::Tidy | Self::Read | Self::Change => false,
        }
    }
}

/// Events are shown anyway; log lines would disturb the display.
pub(crate) const QUIET_LOG: &str = "off";

/// A provider whose model is scripted.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    pub(crate) provider: String,
    pub(crate) base_url: String,
    pub(crate) models: Vec<(String, llm::ModelFacts)>,
}

/// Everything, running.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    /// Description of the sandbox.
    pub(crate) sandbox: String,
    published: Option<Published>,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: CancellationToken,
    store: Store,
    postgres: Option<Running>,
    telemetry: Telemetry,
    /// Dropped last: the directory is free when everything else is closed.
    _lock: DataDirLock,
}

/// Why a harness did not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another process has the data directory.
    Held(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl OpenError {
    /// For people.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Held(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl Harness {
    /// Opens everything; on a failure, closes what was opened.
    pub(crate) async fn open(loaded: &Loaded, plan: Plan) -> Result<Self, OpenError> {
        install_crypto();
        let config = &loaded.config;
        let lock = lock(&config.data_dir).await?;
        let data_dir = lock.data_dir().to_owned();
        note_purpose(&data_dir, plan.purpose)
            .map_err(|error| Failure::environment("the data directory can't be written to").caused_by(error))?;
        let server_settings = server_settings(loaded)?;
        let listener = server::bind(plan.listen, &server_settings).await;
        let listener = listener.map_err(Failure::from)?;
        let mut models = model_settings(loaded)?;
        if let Some(scripted) = &plan.scripted {
            add_scripted(&mut models, scripted)?;
        }
        let telemetry = telemetry::init(telemetry_settings(loaded, &data_dir, &models, plan.log)?)
            .map_err(|error| Failure::usage("logs and metrics can't be started").caused_by(error))?;
        for variable in unmaskable(&models) {
            tracing::warn!(
                variable,
                "the key is too short or too ordinary to be masked in stored texts; the key of a local server needs no mask"
            );
        }
        let models =
            llm::Models::new(models).map_err(|error| Failure::usage("the models can't be used").caused_by(error))?;
        let (sandbox, database) = tokio::join!(probe(loaded), open_database(loaded, &data_dir));
        let (store, postgres) = database?;
        let parts = async {
            let sandbox = sandbox?;
            let described = sandbox.describe();
            match sandbox.gaps() {
                None => tracing::info!(sandbox = described, "the sandbox enforces all it can"),
                Some(gaps) => tracing::warn!(
                    gaps,
                    sandbox = described,
                    "parts of the sandbox are not enforced on this host; `orchestrator doctor` shows what to do"
                ),
            }
            let settings = engine_settings(loaded, &data_dir, plan.purpose)?;
            let engine = Engine::start(settings, store.clone(), Arc::new(models), Arc::new(sandbox)).await;
            let engine = engine.map_err(Failure::from)?;
            Ok::<_, Failure>((engine, described))
        };
        let (engine, sandbox) = match parts.await {
            Ok(parts) => parts,
            Err(failure) => {
                close_database(store, postgres).await;
                return Err(failure.into());
            }
        };
        let address = listener
            .local_addr()
            .map_err(|error| Failure::environment("the server has no address").caused_by(error))?;
        let stop_server = CancellationToken::new();
        let server = server::serve(listener, engine.clone(), server_settings, stop_server.clone());
        let server = tokio::spawn(server);
        let presence = Presence::here(address, plan.scripted.map(|scripted| scripted.base_url));
        let published = match plan.purpose.is_published() {
            true => Some(presence.publish(&data_dir)?),
            false => None,
        };
        Ok(Self {
            address,
            engine,
            sandbox,
            published,
            server,
            stop_server,
            store,
            postgres,
            telemetry,
            _lock: lock,
        })
    }

    /// Stops: no new work; work in progress is kept for the next start.
    pub(crate) async fn close(self) {
        drop(self.published);
        self.engine.drain().await;
        self.stop_server.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the server ended with an error"),
            Err(error) => tracing::warn!(%error, "the server ended with an error"),
        }
        close_database(self.store, self.postgres).await;
        self.telemetry.shutdown();
    }
}

/// Installs the TLS implementation; a second call changes nothing.
pub(crate) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

async fn lock(data_dir: &Path) -> Result<DataDirLock, OpenError> {
    let path = data_dir.to_owned();
    let taken = blocking(move || DataDirLock::take(&path)).await;
    taken.map_err(|error| {
        let is_held = matches!(error, LockError::Held { .. });
        let failure = Failure::from(error);
        match is_held {
            true => OpenError::Held(failure),
            false => OpenError::Failed(failure),
        }
    })
}

/// Opens the configured sandbox and tests it.
pub(crate) async fn probe(loaded: &Loaded) -> Result<Sandbox, Failure> {
    Sandbox::probe(loaded.config.sandbox.tier, sandbox_settings(loaded))
        .await
        .map_err(Failure::from)
}

/// The name of this process: the same after a restart, unique to the data directory on this machine. It is created at the
/// first start.
fn process_name(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join("process-id");
    let id = match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => name_process(data_dir, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => name_process(data_dir, &path),
        Err(error) => Err(error),
    };
    let id = id.map_err(|error| {
        Failure::environment("the id of this process can't be stored")
            .with("file", path.display())
            .caused_by(error)
    })?;
    Ok(format!("{} {id}", data_dir.display()))
}

fn name_process(data_dir: &Path, path: &Path) -> std::io::Result<String> {
    let id = domain::RunId::new().0.to_string();
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(id.as_bytes())?;
    file.persist(path)?;
    Ok(id)
}

/// Runs blocking work on a thread of its own and passes on a panic in it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The variables whose keys can't be masked because they are too short or too ordinary.
pub(crate) fn unmaskable(models: &llm::Settings) -> Vec<&str> {
    let keys = models.providers.values().filter_map(|provider| {
        let key = provider.api_key.as_ref()?;
        (!telemetry::secrets::is_maskable(key.expose())).then_some(provider.api_key_env.as_str())
    });
    let variables: std::collections::BTreeSet<&str> = keys.collect();
    variables.into_iter().collect()
}
