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

/// What differs from one harness to another, besides the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// What is logged where the configuration does not say.
    pub(crate) log: &'static str,
    /// A model server of our own, and what its models are called and cost.
    pub(crate) scripted: Option<Scripted>,
    pub(crate) purpose: Purpose,
}

/// What a harness is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Going on with whatever is unfinished.
    Work,
    /// Lending a hand to a server on another machine, which has the workspaces.
    Help,
    /// Delivering one run: nothing else that is unfinished is gone on with.
    Deliver(RunId),
    /// Clearing away only: nothing unfinished is gone on with.
    Tidy,
    /// Reading what is there.
    Read,
    /// Changing one thing of what is there.
    Change,
}

impl Purpose {
    /// Whether others may bring their requests here: who has one job takes no more.
    fn is_published(self) -> bool {
        match self {
            Self::Work | Self::Help => true,
            Self::Deliver(_) | Self::Tidy | Self::Read | Self::Change => false,
        }
    }
}

/// Facts are shown anyway; a log beside them would be drawn over.
pub(crate) const QUIET_LOG: &str = "off";

/// A provider that plays a script.
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
    /// What the sandbox is, in words.
    pub(crate) sandbox: String,
    published: Option<Published>,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: CancellationToken,
    store: Store,
    postgres: Option<Running>,
    telemetry: Telemetry,
    /// Last: the directory is free when everything else is closed.
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
    /// Opens everything. What was opened when something fails is closed again.
    pub(crate) async fn open(loaded: &Loaded, plan: Plan) -> Result<Self, OpenError> {
        install_crypto();
        let config = &loaded.config;
        let lock = lock(&config.data_dir).await?;
        let data_dir = lock.data_dir().to_owned();
        note_purpose(&data_dir, plan.purpose)
            .map_err(|error| Failure::environment("the data directory can't be written to").with("found", error))?;
        let server_settings = server_settings(loaded)?;
        let listener = server::bind(plan.listen, &server_settings).await;
        let listener = listener.map_err(|error| Failure::from_text_environment(&error.to_string()))?;
        let mut models = model_settings(loaded)?;
        if let Some(scripted) = &plan.scripted {
            add_scripted(&mut models, scripted)?;
        }
        let telemetry = telemetry::init(telemetry_settings(loaded, &data_dir, &models, plan.log)?)
            .map_err(|error| Failure::usage("logs and metrics can't be started").with("found", error))?;
        for variable in unmaskable(&models) {
            tracing::warn!(
                variable,
                "the value is too short or too ordinary to be masked in what is stored; a local server's needs no mask"
            );
        }
        let models = llm::Models::new(models)
            .map_err(|error| Failure::usage("the models can't be used").with("found", error))?;
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
                    "parts of the sandbox are not enforced on this host; `orchestrator doctor` says what to do"
                ),
            }
            let settings = engine_settings(loaded, &data_dir, plan.purpose)?;
            let engine = Engine::start(settings, store.clone(), Arc::new(models), Arc::new(sandbox)).await;
            let engine = engine.map_err(|error| Failure::from_text_environment(&error.to_string()))?;
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
            .map_err(|error| Failure::environment("the server has no address").with("found", error))?;
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

    /// Puts everything down: no new work, what is under way is kept for the next start, then the rest.
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

/// The one implementation of cryptography; a second call finds it installed.
pub(crate) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

async fn lock(data_dir: &Path) -> Result<DataDirLock, OpenError> {
    let path = data_dir.to_owned();
    let taken = blocking(move || DataDirLock::take(&path)).await;
    taken.map_err(|error| {
        let failure = Failure::from_text_environment(&error.to_string());
        match error {
            LockError::Held { .. } => OpenError::Held(failure),
            LockError::Directory(_) => OpenError::Failed(failure),
        }
    })
}

/// The sandbox of the configuration, proven to work.
pub(crate) async fn probe(loaded: &Loaded) -> Result<Sandbox, Failure> {
    Sandbox::probe(loaded.config.sandbox.tier, sandbox_settings(loaded))
        .await
        .map_err(|error| Failure::from_text_environment(&error.to_string()))
}

/// The same after a restart, and different for every data directory of every machine: two of them may have the same
/// path. It is made at the first start.
fn process_name(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join("process-id");
    let id = match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => name_process(data_dir, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => name_process(data_dir, &path),
        Err(error) => Err(error),
    };
    let id = id.map_err(|error| {
        Failure::environment("the name of this process can't be kept")
            .with("file", path.display())
            .with("found", error)
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

/// Runs what waits for the disk or for other programs beside the runtime. A panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The variables whose keys can't be masked, because text that merely says the same would be masked too.
pub(crate) fn unmaskable(models: &llm::Settings) -> Vec<&str> {
    let keys = models.providers.values().filter_map(|provider| {
        let key = provider.api_key.as_ref()?;
        (!telemetry::secrets::is_maskable(key.expose())).then_some(provider.api_key_env.as_str())
    });
    let variables: std::collections::BTreeSet<&str> = keys.collect();
    variables.into_iter().collect()
}
