//! Whether work can be done here.

use super::Readiness;
use crate::engine::Engine;
use std::time::Duration;

/// How long a question to the database may take before the process calls itself not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

impl Engine {
    /// Whether work can be done here.
    pub async fn ready(&self) -> Readiness {
        Readiness {
            database: self.context.store.answers(READY_WITHIN).await,
            sandbox: self.context.sandbox.describe(),
            enforcement: self.context.sandbox.enforcement(),
            draining: self.context.drain.is_cancelled(),
            unknown_effects: self.context.unknown_effects.names(),
            data_dir: self.context.settings.data_dir.clone(),
            disk: self.disk.room(),
        }
    }
}
