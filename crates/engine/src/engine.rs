//! The engine: its start, its parts and its drain.

use crate::{
    context::{Busy, Context, Layout, Pauses, Wake, Working},
    disk::{self, Disk},
    effects, housekeeping,
    merge::Gates,
    recovery,
    scheduler::{self, heartbeat::Heartbeat},
    settings::{Duties, Settings},
};
use agents::{model_worker::ModelWorker, profile::Profiles, worker::WorkerBackend};
use domain::{Epoch, ProcessId, RunId};
use sandbox::Sandbox;
use std::{sync::Arc, time::Duration};
use store::{Holder, Store, view::Views};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A stream polls after this time without a wake.
const POLL: Duration = Duration::from_secs(1);

/// The holder in a process that claims nothing; no row has this id.
const NOBODY: Holder = Holder {
    process: ProcessId(0),
    epoch: Epoch(0),
};

/// A handle to the running engine. Clones share it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) context: Context,
    pub(crate) disk: Disk,
    heartbeat: Heartbeat,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A directory of the data directory could not be made.
    #[error("the directory {path} could not be made: {source}; check the disk and the owner of the data directory")]
    Directory {
        /// Which directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A profile could not be read.
    #[error(transparent)]
    Profile(#[from] agents::profile::ProfileError),
    /// The heartbeat's thread could not be started.
    #[error("no thread could be started for the heartbeat: {0}")]
    Thread(std::io::Error),
}

impl Engine {
    /// Starts the engine with the product's own worker. The caller holds the lock of the data directory, so what an
    /// earlier process held there is released at once.
    ///
    /// # Errors
    /// When the database, the data directory or a profile can't be used.
    pub async fn start(
        settings: Settings,
        store: Store,
        models: Arc<llm::Models>,
        sandbox: Arc<Sandbox>,
    ) -> Result<Self, Error> {
        let worker = Arc::new(ModelWorker::new(models.clone()));
        Self::start_with_worker(settings, store, models, sandbox, worker).await
    }

    /// [`Self::start`] with another worker backend.
    ///
    /// # Errors
    /// When the database, the data directory or a profile can't be used.
    pub async fn start_with_worker(
        settings: Settings,
        store: Store,
        models: Arc<llm::Models>,
        sandbox: Arc<Sandbox>,
        worker: Arc<dyn WorkerBackend>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(settings.data_dir.clone());
        let duties = settings.duties;
        if duties != Duties::None {
            make(&layout)?;
        }
        let profiles = match &settings.profiles {
            Some(directory) => Profiles::with_directory(directory)?,
            None => Profiles::built_in()?,
        };
        let (holder, heartbeat) = match duties {
            Duties::None => (NOBODY, Heartbeat::none()),
            Duties::All | Duties::WithoutWorkspaces | Duties::Delivery(_) | Duties::Cleaning => {
                register(&settings, &store).await?
            }
        };
        let admission = git::Admission::new(settings.workspace_roots.clone(), settings.data_dir.clone());
        let admission = admission.with_named(settings.workspace_named.clone());
        let (ends, ended) = mpsc::unbounded_channel();
        let gates = Gates::new(&settings);
        let context = Context {
            layout,
            admission,
            views: store.views().with_priority_level(settings.priority_level),
            store,
            models,
            worker,
            sandbox,
            profiles: Arc::new(profiles),
            holder,
            wake: Wake::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            under_way: TaskTracker::new(),
            working: Working::new(settings.slots as usize),
            busy: Busy::default(),
            pauses: Arc::new(Pauses::default()),
            unknown_effects: Arc::default(),
            ends,
            settings: Arc::new(settings),
        };
        tokio::spawn(housekeeping::report(context.clone(), gates.clone(), ended));
        if duties != Duties::None {
            recovery::clear(&context.layout, &context.under_way).await;
        }
        if duties.works() {
            recovery::recover(&context).await?;
            effects::settle_unfinished(&context).await;
        }
        let engine = Self {
            disk: Disk::new(context.clone()),
            context,
            heartbeat,
        };
        engine.spawn_parts(gates);
        Ok(engine)
    }

    fn spawn_parts(&self, gates: Gates) {
        let Context {
            wake,
            store,
            holder,
            stop,
            ..
        } = &self.context;
        tokio::spawn(wake.clone().send_hints(store.clone(), *holder, stop.clone()));
        tokio::spawn(wake.clone().listen(store.clone(), *holder, stop.clone()));
        let duties = self.context.settings.duties;
        if duties.works() {
            tokio::spawn(housekeeping::keep(self.context.clone()));
            tokio::spawn(disk::keep_clean(self.disk.clone()));
            tokio::spawn(disk::keep(self.disk.clone()));
        }
        if duties.works() || !duties.effects().0.is_empty() {
            // Tracked, because a drain must wait for what it claims meanwhile.
            let dispatching =
                scheduler::dispatch(self.context.clone(), self.heartbeat.clone(), self.disk.clone(), gates);
            self.context.under_way.spawn(dispatching);
        }
    }

    /// The queries behind API, pages and terminal.
    pub fn views(&self) -> &Views {
        &self.context.views
    }

    /// The names of the configured providers of models.
    pub fn providers(&self) -> Vec<String> {
        self.context.models.providers().map(str::to_owned).collect()
    }

    /// The names of the worker profiles.
    pub fn profiles(&self) -> Vec<String> {
        self.context.profiles.names()
    }

    /// Resolves when a run may have events after a sequence number, and after a second in any case.
    pub async fn changed(&self, run: RunId, after: i64) {
        let mut tick = self.context.wake.watch();
        if let Ok(events) = self.context.views.events(run, after, 1).await
            && events.is_none_or(|page| page.ended || !page.events.is_empty())
        {
            return;
        }
        // A wake or the timeout, whichever comes first.
        drop(tokio::time::timeout(POLL, tick.changed()).await);
    }

    /// Releases what is running, so that a later start continues it, and ends this process.
    ///
    /// Workers stop at the next turn or call and release their tasks; a landing with a recorded intent is finished.
    pub async fn drain(&self) {
        self.context.drain.cancel();
        self.heartbeat.draining();
        self.context.wake.committed();
        self.context.under_way.close();
        self.context.under_way.wait().await;
        self.context.stop.cancel();
        self.heartbeat.stop();
        if self.context.settings.duties == Duties::None {
            return;
        }
        if let Err(error) = self.context.store.end_process(self.context.holder).await {
            tracing::warn!(%error, "Could not record the end of the process; its lease will expire");
        }
    }
}

fn make(layout: &Layout) -> Result<(), Error> {
    layout.make().map_err(|(path, source)| Error::Directory {
        path: path.display().to_string(),
        source,
    })?;
    if let Err(error) = layout.close() {
        tracing::warn!(%error, "other accounts may list the data directory");
    }
    Ok(())
}

/// Registers the process and starts its heartbeat.
async fn register(settings: &Settings, store: &Store) -> Result<(Holder, Heartbeat), Error> {
    let holder = store
        .register_process(&settings.process_name, &settings.version, settings.lease)
        .await?;
    let heartbeat = Heartbeat::start(store, holder, settings.heartbeat, settings.lease).map_err(Error::Thread)?;
    Ok((holder, heartbeat))
}
