//! The engine: its parts, its start and its end.

use crate::{
    clear,
    delivery::DeliverySettings,
    disk::{self, LowDisk},
    dispatcher::{self, Busy},
    effects,
    heartbeat::Heartbeat,
    housekeeping,
    layout::Layout,
    merge::{BuildCaches, RedBase},
    request::{CancelError, DeliverError, Readiness},
    retention,
    settings::{Duties, MergeSettings, Settings},
    step::{self, Applied, StepError},
    trouble::Troubles,
    usage::DiskUse,
    wake::Wake,
    working::Working,
};
use agents::profile::Profiles;
use domain::{RunId, TaskId, event::Event, task::TaskState, transition::Refusal};
use sandbox::Sandbox;
use std::{path::PathBuf, sync::Arc, time::Duration};
use store::{Holder, Store, Tx, run::RunFacts, view::Views};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a question to the database may take before the process calls itself not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How long a stream waits for a wake before it looks by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A handle on the running engine. Clones share it.
#[derive(Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
}

/// Everything the engine is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) layout: Layout,
    /// Which directories may become workspaces.
    pub(crate) admission: git::Admission,
    pub(crate) store: Store,
    pub(crate) views: Views,
    pub(crate) models: Arc<llm::Models>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) profiles: Arc<Profiles>,
    pub(crate) holder: Holder,
    pub(crate) wake: Wake,
    pub(crate) heartbeat: Heartbeat,
    /// Cancelled when the process is to take nothing new and to put down what it holds.
    pub(crate) drain: CancellationToken,
    /// Cancelled when everything has been put down.
    pub(crate) stop: CancellationToken,
    /// What is under way.
    pub(crate) under_way: TaskTracker,
    /// Attempts that run here, so that a cancelled task's worker is stopped at once.
    pub(crate) working: Working,
    pub(crate) red_base: RedBase,
    pub(crate) troubles: Troubles,
    pub(crate) build_caches: BuildCaches,
    /// A permit for each check that may run in its turn.
    pub(crate) gates: Arc<Semaphore>,
    /// A permit for each check that may run ahead of its turn.
    pub(crate) gates_ahead: Arc<Semaphore>,
    pub(crate) low_disk: LowDisk,
    /// What the data directory took when it was last measured.
    pub(crate) disk_use: watch::Sender<Option<DiskUse>>,
    /// Effects and merges that run here.
    pub(crate) busy: Busy,
    /// Held while what runs left is given up: the lease tells processes apart, and not two parts of one.
    pub(crate) cleaning: Mutex<()>,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A folder of the data directory could not be made.
    #[error("the folder {path} could not be made: {source}; check the disk and the owner of the data directory")]
    Folder {
        /// Which folder.
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
    /// Starts the engine. The caller holds the data directory's lock, so what an earlier life of this process held
    /// is free at once.
    ///
    /// # Errors
    /// When the database, the data directory or a profile can't be used.
    pub async fn start(
        settings: Settings,
        store: Store,
        models: Arc<llm::Models>,
        sandbox: Arc<Sandbox>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(settings.data_dir.clone());
        layout.make().map_err(|(path, source)| Error::Folder {
            path: path.display().to_string(),
            source,
        })?;
        if let Err(error) = layout.close() {
            tracing::warn!(%error, "other accounts may list the data directory");
        }
        let profiles = match &settings.profiles {
            Some(folder) => Profiles::with_folder(folder)?,
            None => Profiles::built_in()?,
        };
        let holder = store
            .register_process(&settings.process_name, &settings.version, settings.lease)
            .await?;
        let heartbeat = Heartbeat::start(&store, holder, settings.heartbeat, settings.lease).map_err(Error::Thread)?;
        let admission = git::Admission::new(settings.workspace_roots.clone(), settings.data_dir.clone());
        let admission = admission.with_named(settings.workspace_named.clone());
        let parts = Parts {
            layout,
            admission,
            views: store.views(),
            store,
            models,
            sandbox,
            profiles: Arc::new(profiles),
            holder,
            wake: Wake::new(),
            heartbeat,
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            under_way: TaskTracker::new(),
            working: Working::default(),
            red_base: RedBase::default(),
            troubles: Troubles::default(),
            build_caches: BuildCaches::default(),
            gates: Arc::new(Semaphore::new(settings.gates.max(1) as usize)),
            gates_ahead: Arc::new(Semaphore::new(settings.gates_ahead as usize)),
            low_disk: LowDisk::default(),
            disk_use: watch::Sender::new(None),
            busy: Busy::default(),
            cleaning: Mutex::new(()),
            settings,
        };
        let engine = Self { parts: Arc::new(parts) };
        clear::clear(&engine.parts.layout, &engine.parts.under_way).await;
        housekeeping::recover(&engine).await?;
        effects::settle_begun(&engine).await;
        engine.spawn_parts();
        Ok(engine)
    }

    fn spawn_parts(&self) {
        let parts = &self.parts;
        tokio::spawn(
            parts
                .wake
                .clone()
                .tell(parts.store.clone(), parts.holder, parts.stop.clone()),
        );
        tokio::spawn(
            parts
                .wake
                .clone()
                .listen(parts.store.clone(), parts.holder, parts.stop.clone()),
        );
        if parts.settings.duties != Duties::None {
            tokio::spawn(housekeeping::keep(self.clone()));
            tokio::spawn(retention::keep(self.clone()));
            tokio::spawn(disk::keep(self.clone()));
            // Tracked: what it claims while the drain begins must be waited for.
            parts.under_way.spawn(dispatcher::dispatch(self.clone()));
        }
    }

    /// The read side: what the interfaces show.
    pub fn views(&self) -> &Views {
        &self.parts.views
    }

    /// The names of the configured providers of models.
    pub fn providers(&self) -> Vec<String> {
        self.parts.models.providers().map(str::to_owned).collect()
    }

    /// The kinds of workers there are, by name.
    pub fn profiles(&self) -> Vec<String> {
        self.parts.profiles.names()
    }

    /// Resolves when a run's log may have grown since a sequence number, or after a moment in any case.
    pub async fn changed(&self, run: RunId, after: i64) {
        let mut tick = self.parts.wake.watch();
        if let Ok(events) = self.parts.views.events(run, after, 1).await
            && events.is_none_or(|page| page.ended || !page.events.is_empty())
        {
            return;
        }
        // Whichever comes first: a wake, or the time to look by oneself.
        drop(tokio::time::timeout(LOOK_AGAIN, tick.changed()).await);
    }

    /// Whether work can be done here.
    pub async fn ready(&self) -> Readiness {
        Readiness {
            database: self.parts.store.answers(READY_WITHIN).await,
            sandbox: self.parts.sandbox.describe(),
            enforcement: self.parts.sandbox.enforcement(),
            draining: self.parts.drain.is_cancelled(),
            data_dir: self.parts.settings.data_dir.clone(),
            disk: self.disk_room(),
        }
    }

    /// Ends a run on a person's request. Asking twice is fine.
    ///
    /// # Errors
    /// When there is no such run, or it is past being cancelled.
    pub async fn cancel(&self, run: RunId) -> Result<(), CancelError> {
        let mut tx = self.parts.store.begin().await.map_err(internal)?;
        match step::apply(&mut tx, run, None, Event::CancelAsked).await {
            Ok(applied) => {
                tx.commit().await.map_err(internal)?;
                self.applied(&applied);
                Ok(())
            }
            Err(StepError::Refused(Refusal::Stale(_))) => Ok(()),
            Err(StepError::Refused(Refusal::Illegal(message))) => Err(CancelError::Refused(message)),
            Err(StepError::Unknown(run)) => Err(CancelError::NotFound(run)),
            Err(StepError::Store(error)) => Err(internal(error)),
        }
    }

    /// Hands a run's work over once more, or at last. Asking while it is under way is fine. With consent the checkout
    /// is fast-forwarded although the run has integrity flags; consent that was given is not taken back.
    ///
    /// # Errors
    /// When there is no such run, or not everything of it has landed.
    pub async fn deliver(&self, run: RunId, allow_integrity_flags: bool) -> Result<(), DeliverError> {
        let internal = |error: store::Error| DeliverError::Internal(error.to_string());
        let mut tx = self.parts.store.begin().await.map_err(internal)?;
        let locked = tx.lock_run(run).await.map_err(internal)?;
        locked.ok_or(DeliverError::NotFound(run))?;
        if tx.is_expired(run).await.map_err(internal)? {
            return Err(DeliverError::Refused(
                "the trees of the run were given up (retention), so there is nothing left to deliver from; a branch \
                 that was delivered before is in your repository"
                    .into(),
            ));
        }
        if allow_integrity_flags {
            tx.allow_integrity_flags(run).await.map_err(internal)?;
        }
        if tx.is_delivering(run).await.map_err(internal)? {
            return tx.commit().await.map_err(internal);
        }
        let asked = Event::DeliverAsked { allow_integrity_flags };
        match step::apply(&mut tx, run, None, asked).await {
            Ok(applied) => {
                tx.commit().await.map_err(internal)?;
                self.applied(&applied);
                Ok(())
            }
            Err(StepError::Refused(Refusal::Stale(_))) => Ok(()),
            Err(StepError::Refused(Refusal::Illegal(message))) => Err(DeliverError::Refused(message)),
            Err(StepError::Unknown(run)) => Err(DeliverError::NotFound(run)),
            Err(StepError::Store(error)) => Err(internal(error)),
        }
    }

    /// Puts down what is under way, so that a later start goes on with it, and ends this life of the process.
    ///
    /// Workers stop at the next turn or tool and give their tasks back; a landing that is intended is finished.
    pub async fn drain(&self) {
        self.parts.drain.cancel();
        self.parts.heartbeat.draining();
        self.parts.wake.committed();
        self.parts.under_way.close();
        self.parts.under_way.wait().await;
        self.parts.stop.cancel();
        self.parts.heartbeat.stop();
        if let Err(error) = self.parts.store.end_process(self.parts.holder).await {
            tracing::warn!(%error, "the end of the process could not be recorded; its lease will run out");
        }
    }

    /// Applies an event in a transaction of its own, with what the caller writes beside it.
    pub(crate) async fn step<W>(
        &self,
        run: RunId,
        task: Option<TaskId>,
        event: Event,
        beside: W,
    ) -> Result<(), StepError>
    where
        W: AsyncFnOnce(&mut Tx) -> Result<(), StepError>,
    {
        let mut tx = self.parts.store.begin().await?;
        let applied = step::apply(&mut tx, run, task, event).await?;
        beside(&mut tx).await?;
        tx.commit().await?;
        self.applied(&applied);
        Ok(())
    }

    /// Tells the metrics and the waiting parts of a committed step, and stops workers whose task was taken away.
    pub(crate) fn applied(&self, applied: &Applied) {
        for (task, from, to) in &applied.tasks {
            telemetry::task::transition(*from, *to);
            if *from == Some(TaskState::Active) && to.is_final() {
                self.parts.working.stop_task(*task);
            }
        }
        let finished: Vec<TaskId> = applied
            .tasks
            .iter()
            .filter(|(_, _, to)| to.is_final())
            .map(|(task, ..)| *task)
            .collect();
        let ended = applied.state.0 != applied.state.1 && applied.state.1.is_final();
        if ended || !finished.is_empty() {
            // Tracked, so that a process that is being stopped still tells of what it ended.
            let telling = housekeeping::tell_of_ends(self.clone(), applied.run, finished, ended);
            self.parts.under_way.spawn(telling);
        }
        self.parts.wake.committed();
    }
}

impl Parts {
    /// What the sandboxes of a workspace may read besides the system: what is configured for all and for it.
    pub(crate) fn extra_read_only(&self, workspace: &str) -> Vec<PathBuf> {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        let own = own.into_iter().flat_map(|settings| &settings.read_only);
        self.settings.extra_read_only.iter().chain(own).cloned().collect()
    }

    /// How conflicts are decided in a workspace.
    pub(crate) fn merge_settings(&self, workspace: &str) -> &MergeSettings {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        own.map_or(&self.settings.merge, |settings| &settings.merge)
    }

    /// Whether the models of a run can be asked here; in words, why not. Where the run was taken in, that was checked.
    pub(crate) fn knows_models_of(&self, facts: &RunFacts) -> Result<(), String> {
        if self.settings.duties != Duties::WithoutWorkspaces {
            return Ok(());
        }
        let worker = llm::ModelRef::new(facts.worker.0.clone(), facts.worker.1.clone());
        let second = &self.merge_settings(&facts.workspace_path).second_opinion;
        let capped = facts.limits.cost_nanodollars.is_some();
        let mut all = std::iter::once(&worker).chain(second);
        all.try_for_each(|model| self.models.check(model, capped))
            .map_err(|error| error.to_string())
    }

    /// How the work of a workspace's runs is handed over, where that is configured.
    pub(crate) fn delivery(&self, workspace: &str) -> Option<&DeliverySettings> {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        own.map(|settings| &settings.delivery)
    }

    /// Who commits, as git takes it.
    pub(crate) fn stamp(&self, message: String) -> git::Stamp {
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        git::Stamp {
            message,
            identity: git::Identity {
                name: self.settings.identity.name.clone(),
                email: self.settings.identity.email.clone(),
            },
            at_unix_s: at.map_or(0, |at| at.as_secs() as i64),
        }
    }
}

/// Runs blocking work, such as git's, beside the runtime. A panic in it goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn internal(error: store::Error) -> CancelError {
    CancelError::Internal(error.to_string())
}
