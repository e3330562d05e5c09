//! What every part of the engine shares: settings, store, models, sandbox, and the signals between the parts.
//!
//! Nothing here knows a part of the engine. State that belongs to one part, such as the gates of the merge queue or the
//! measurements of the disk, stays in that part.

mod account;
mod busy;
mod hubs;
mod layout;
mod pauses;
mod provider_wait;
mod retry;
pub(crate) mod step;
pub(crate) mod tip;
mod unknown_effects;
pub(crate) mod user_git;
mod wake;
mod working;

pub(crate) use account::Account;
pub(crate) use busy::{Busy, What};
pub(crate) use layout::Layout;
pub(crate) use pauses::Pauses;
pub(crate) use provider_wait::ProviderWait;
pub(crate) use retry::{HeldTask, Outage, RetryPolicy};
pub(crate) use step::StepError;
pub(crate) use tip::TipError;
pub(crate) use unknown_effects::UnknownEffects;
pub(crate) use wake::Wake;
pub(crate) use working::{Claim, Running, WorkerSlot, Working};

use crate::settings::{DeliverySettings, Duties, MergeSettings, Settings};
use agents::{profile::Profiles, worker::WorkerBackend};
use domain::{RunId, TaskId};
use sandbox::Sandbox;
use std::{path::PathBuf, sync::Arc};
use store::{Holder, Store, run::RunDetails, view::Views};
use tokio::sync::mpsc;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) settings: Arc<Settings>,
    pub(crate) layout: Layout,
    /// Which directories may become workspaces.
    pub(crate) admission: git::Admission,
    pub(crate) store: Store,
    pub(crate) views: Views,
    pub(crate) models: Arc<llm::Models>,
    /// Does the tasks.
    pub(crate) worker: Arc<dyn WorkerBackend>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) profiles: Arc<Profiles>,
    /// This process since its start, as the database knows it.
    pub(crate) holder: Holder,
    pub(crate) wake: Wake,
    /// Cancelled when the process claims nothing new and releases what it holds.
    pub(crate) drain: CancellationToken,
    /// Cancelled when everything is released.
    pub(crate) stop: CancellationToken,
    /// The running tasks.
    pub(crate) under_way: TaskTracker,
    /// The attempts that run here, with their worker slots.
    pub(crate) working: Working,
    /// The effects and merges that run here.
    pub(crate) busy: Busy,
    pub(crate) pauses: Arc<Pauses>,
    pub(crate) unknown_effects: Arc<UnknownEffects>,
    /// Reports what has ended.
    pub(crate) ends: mpsc::UnboundedSender<Ends>,
}

/// What ended in a step.
pub(crate) struct Ends {
    pub(crate) run: RunId,
    pub(crate) tasks: Vec<TaskId>,
    /// Whether the run itself ended.
    pub(crate) is_run: bool,
    /// Held until it is reported, so that a stopping process still reports what it ended.
    pub(crate) _under_way: TaskTrackerToken,
}

impl Context {
    /// The paths that the sandboxes of a workspace may read besides the system's.
    pub(crate) fn extra_read_only(&self, workspace: &str) -> Vec<PathBuf> {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        let own = own.into_iter().flat_map(|settings| &settings.read_only);
        self.settings.extra_read_only.iter().chain(own).cloned().collect()
    }

    /// How conflicts are resolved in a workspace.
    pub(crate) fn merge_settings(&self, workspace: &str) -> &MergeSettings {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        own.map_or(&self.settings.merge, |settings| &settings.merge)
    }

    /// Whether the models of a run are configured here; the error is the reason. The server checked its own when the run
    /// was submitted.
    pub(crate) fn knows_models_of(&self, details: &RunDetails) -> Result<(), String> {
        if self.settings.duties != Duties::WithoutWorkspaces {
            return Ok(());
        }
        let worker = llm::ModelRef::new(details.worker.0.clone(), details.worker.1.clone());
        let second = &self.merge_settings(&details.workspace_path).second_opinion;
        let capped = details.limits.cost_nanodollars.is_some();
        let mut all = std::iter::once(&worker).chain(second);
        all.try_for_each(|model| self.models.check(model, capped))
            .map_err(|error| error.to_string())
    }

    /// How the branches of a workspace's runs are delivered, where that is configured.
    pub(crate) fn delivery(&self, workspace: &str) -> Option<&DeliverySettings> {
        let own = self.settings.workspaces.get(std::path::Path::new(workspace));
        own.map(|settings| &settings.delivery)
    }

    /// Author and time of a commit.
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

/// Runs blocking work, such as git's, on a thread for that. A panic in it continues here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
