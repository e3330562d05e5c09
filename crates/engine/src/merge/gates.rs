//! What the gates of all branches share in a process: places to run, and what earlier checks said and built.

use super::{build_caches::BuildCaches, gate::EarlierChecks};
use crate::settings::Settings;
use domain::RunId;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Gates {
    /// A permit for each check that may run in its turn.
    pub(super) in_turn: Arc<Semaphore>,
    /// A permit for each check that may run ahead of its turn.
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

    /// Drops what was found out about a run that ended.
    pub(crate) fn forget(&self, run: RunId) {
        self.earlier.forget(run);
    }
}
