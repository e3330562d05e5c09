//! The house: every part of the product in one process, opened in order and closed in the reverse of it.

use crate::{
    client,
    config::{Loaded, LogFormat, masked_address, model_settings, parse_model},
    failure::Failure,
    presence::{Presence, Published},
};
use domain::run::RunState;
use engine::{Engine, Identity, WorkspaceSettings};
use sandbox::Sandbox;
use std::{
    io::IsTerminal,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{
    Store,
    connect::{Database, PoolSettings},
    embedded::{self, DataDirLock, LockError, Running},
    view::RunFilter,
};
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once the server is to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// What differs from one house to another, besides the configuration.
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

/// What a house is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Going on with whatever is unfinished.
    Work,
    /// Looking only: it must not cost anything, so it does not open while something is unfinished.
    Look,
}

/// A provider that plays a script.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    pub(crate) provider: String,
    pub(crate) base_url: String,
    pub(crate) models: Vec<(String, llm::ModelFacts)>,
}

/// Everything, running.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    /// What the sandbox is, in words.
    pub(crate) sandbox: String,
    published: Published,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: CancellationToken,
    store: Store,
    postgres: Option<Running>,
    telemetry: Telemetry,
    /// Last: the directory is free when everything else is closed.
    _lock: DataDirLock,
}

/// Why a house did not open.
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

impl House {
    /// Opens everything. What was opened when something fails is closed again.
    pub(crate) async fn open(loaded: &Loaded, plan: Plan) -> Result<Self, OpenError> {
        install_crypto();
        let config = &loaded.config;
        let lock = lock(&config.data_dir).await?;
        let data_dir = lock.data_dir().to_owned();
        let server_settings = server_settings(loaded)?;
        let listener = server::bind(plan.listen, &server_settings).await;
        let listener = listener.map_err(|error| Failure::from_text_environment(&error.to_string()))?;
        let mut models = model_settings(loaded)?;
        if let Some(scripted) = &plan.scripted {
            add_scripted(&mut models, scripted)?;
        }
        let telemetry = telemetry::init(telemetry_settings(loaded, &data_dir, &models, plan.log)?)
            .map_err(|error| Failure::usage("logs and metrics can't be started").with("found", error))?;
        let models = llm::Models::new(models).map_err(|error| Failure::usage("the models can't be used").with("found", error))?;
        let (sandbox, database) = tokio::join!(probe(loaded), open_database(loaded, &data_dir));
        let (store, postgres) = database?;
        let parts = async {
            if plan.purpose == Purpose::Look {
                nothing_unfinished(&store).await?;
            }
            let sandbox = sandbox?;
            let described = sandbox.describe();
            let settings = engine_settings(loaded, &data_dir)?;
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
        let published = Presence::here(address, plan.scripted.map(|scripted| scripted.base_url)).publish(&data_dir)?;
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

fn server_settings(loaded: &Loaded) -> Result<server::Settings, Failure> {
    Ok(server::Settings {
        token: client::token(loaded)?.as_deref().map(server::Token::new),
        allowed_hosts: loaded.config.server.allowed_hosts.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stop_within: LAST_REQUESTS,
        ..server::Settings::default()
    })
}

fn add_scripted(models: &mut llm::Settings, scripted: &Scripted) -> Result<(), Failure> {
    let provider = llm::Provider::new(scripted.base_url.clone(), None);
    models.providers.insert(scripted.provider.clone(), provider);
    let prices = scripted.models.iter().map(|(name, facts)| (format!("{}/{name}", scripted.provider), facts.clone()));
    models.prices = std::mem::replace(&mut models.prices, vendored()?)
        .with(prices.collect())
        .map_err(|error| Failure::usage("the prices can't be used").with("found", error))?;
    Ok(())
}

fn vendored() -> Result<llm::Prices, Failure> {
    llm::Prices::vendored().map_err(|error| Failure::usage("the prices can't be used").with("found", error))
}

/// The sandbox of the configuration, proven to work.
pub(crate) async fn probe(loaded: &Loaded) -> Result<Sandbox, Failure> {
    let section = &loaded.config.sandbox;
    let settings = sandbox::Settings {
        bubblewrap: section.bubblewrap.clone(),
        extra_read_only: section.extra_read_only.clone(),
        temporary_bytes: section.temporary_bytes,
        file_bytes: section.file_bytes,
        address_space_bytes: section.address_space_bytes,
        processes: section.processes,
        output_file_bytes: section.output_file_bytes,
        ..sandbox::Settings::default()
    };
    Sandbox::probe(section.tier, settings)
        .await
        .map_err(|error| Failure::from_text_environment(&error.to_string()))
}

async fn open_database(loaded: &Loaded, data_dir: &Path) -> Result<(Store, Option<Running>), Failure> {
    let settings = PoolSettings { process_name: process_name(data_dir), ..PoolSettings::default() };
    let (database, postgres) = match &loaded.config.database.url {
        Some(url) => (Database::Url(url.clone()), None),
        None => {
            let folder = data_dir.to_owned();
            let started = blocking(move || embedded::start(&folder, &embedded::Settings::default())).await;
            let postgres = started.map_err(|error| Failure::from_text_environment(&error.to_string()))?;
            (Database::from(postgres.options.clone()), Some(postgres))
        }
    };
    match Store::open(database, &settings).await {
        Ok(store) => Ok((store, postgres)),
        Err(error) => {
            stop_postgres(postgres).await;
            let failure = Failure::from_text_environment(&error.to_string());
            Err(match &loaded.config.database.url {
                Some(url) => failure.with("DATABASE_URL", masked_address(url)),
                None => failure,
            })
        }
    }
}

/// Whether a named database server can be used, in words.
pub(crate) async fn try_database(loaded: &Loaded) -> Result<String, Failure> {
    let (store, postgres) = open_database(loaded, &loaded.config.data_dir).await?;
    close_database(store, postgres).await;
    let url = loaded.config.database.url.as_deref().unwrap_or_default();
    Ok(format!("{} can be used", masked_address(url)))
}

async fn nothing_unfinished(store: &Store) -> Result<(), Failure> {
    for state in RunState::ALL.into_iter().filter(|state| !state.is_final()) {
        let page = store.views().runs(RunFilter { state: Some(state), before: None, limit: 1 }).await;
        let page = page.map_err(|error| Failure::environment("the runs can't be listed").with("found", error))?;
        if let Some(run) = page.runs.first() {
            return Err(Failure::environment("no server is running, and a run is unfinished")
                .with("run", run.id)
                .with("state", run.state)
                .hint(format!(
                    "go on with it: orchestrator follow {}\nor start a server and ask again: orchestrator serve",
                    run.id.short()
                )));
        }
    }
    Ok(())
}

async fn close_database(store: Store, postgres: Option<Running>) {
    store.close().await;
    stop_postgres(postgres).await;
}

async fn stop_postgres(postgres: Option<Running>) {
    let Some(postgres) = postgres else { return };
    if let Err(error) = blocking(move || postgres.stop()).await {
        tracing::warn!(%error, "the private database server could not be stopped; the next start finds it");
    }
}

/// The same after a restart, and different for every data directory.
fn process_name(data_dir: &Path) -> String {
    data_dir.display().to_string()
}

fn telemetry_settings(
    loaded: &Loaded,
    data_dir: &Path,
    models: &llm::Settings,
    log: &'static str,
) -> Result<telemetry::Settings, Failure> {
    let section = &loaded.config.telemetry;
    let profiles = profiles(loaded)?;
    let mut names: Vec<String> = models.prices.names().map(str::to_owned).collect();
    for model in [&loaded.config.models.director, &loaded.config.models.worker].into_iter().flatten() {
        names.push(parse_model(model)?.model);
    }
    let keys = models.providers.values().filter_map(|provider| provider.api_key.as_ref());
    let headers = models.providers.values().flat_map(|provider| provider.extra_headers.values());
    let mut secrets: Vec<String> = keys.chain(headers).map(|secret| secret.expose().to_owned()).collect();
    secrets.extend(loaded.config.database.url.clone());
    let terminal = std::io::stderr().is_terminal();
    let format = section.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    Ok(telemetry::Settings {
        profiles: profiles.names(),
        models: names,
        tools: agents::tools::Tool::ALL.iter().map(|tool| tool.name().to_owned()).collect(),
        compatibility_names: section.compatibility_names,
        metrics_enabled: true,
        environment: section.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        otlp_endpoint: section.otlp_endpoint.clone(),
        log_format: match format {
            LogFormat::Text => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        log_filter: section.log.clone().or_else(|| (!log.is_empty()).then(|| log.to_owned())),
        data_dir_for_disk: data_dir.to_owned(),
        secrets,
    })
}

fn profiles(loaded: &Loaded) -> Result<agents::profile::Profiles, Failure> {
    let profiles = match &loaded.config.engine.profiles {
        Some(folder) => agents::profile::Profiles::with_folder(folder),
        None => agents::profile::Profiles::built_in(),
    };
    profiles.map_err(|error| Failure::usage("the worker profiles can't be used").with("found", error))
}

/// The engine's part of the configuration.
fn engine_settings(loaded: &Loaded, data_dir: &Path) -> Result<engine::Settings, Failure> {
    let config = &loaded.config;
    let model = |name: &Option<String>| name.as_deref().map(parse_model).transpose();
    let workspaces = config.workspaces.values().map(|workspace| {
        let path = workspace.path.canonicalize().unwrap_or_else(|_| workspace.path.clone());
        let settings = WorkspaceSettings { check: workspace.check.clone(), read_only: workspace.read_only.clone() };
        (path, settings)
    });
    Ok(engine::Settings {
        data_dir: data_dir.to_owned(),
        process_name: process_name(data_dir),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: config.engine.workers,
        director: model(&config.models.director)?,
        worker: model(&config.models.worker)?,
        workspaces: workspaces.collect(),
        limits: config.run_limits(),
        profiles: config.engine.profiles.clone(),
        identity: Identity {
            name: config.engine.commit_name.clone(),
            email: config.engine.commit_email.clone(),
        },
        // The sandbox grants these itself, to every job.
        extra_read_only: Vec::<PathBuf>::new(),
        disk_floor_bytes: config.engine.disk_floor_bytes,
        poll: Duration::from_millis(config.engine.poll_ms),
        heartbeat: Duration::from_secs(config.engine.heartbeat_s),
        lease: Duration::from_secs(config.engine.lease_s),
        fast_forward: config.engine.fast_forward,
    })
}

/// Runs what waits for the disk or for other programs beside the runtime. A panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
