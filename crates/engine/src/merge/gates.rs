//! What the gates of all branches in a process share: capacity, results of earlier checks, build caches.

use super::{build_caches::BuildCaches, gate::EarlierChecks};
use crate::settings::Settings;
use domain::RunId;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Gates {
    /// A permit for each check that runs in its turn.
    pub(super) in_turn: Arc<Semaphore>,
    /// A permit for each check that runs ahead of its turn.
    pub(super) ahead: Arc<Semaphore>,
    pub(super) earlier: Arc<EarlierChecks>,
    pub(super) build_caches: BuildCaches,
}

impl Gates {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            in_turn: Arc::new(Semaphore::new(settings.gates.max(1) as usize)),
            ahead: Arc::new(Semaphore::new(settings.gates_ahead as usize)),
            earlier: Arc::default(),
            build_caches: BuildCaches::default(),
        }
    }

    /// Forgets an ended run.
    pub(crate) fn forget(&self, run: RunId) {
        self.earlier.forget(run);
    }
}
