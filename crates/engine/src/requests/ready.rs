//! Reports whether this process is ready for work.

use super::Readiness;
use crate::engine::Engine;
use std::time::Duration;

/// The process is not ready if the database does not answer within this time.
const READY_WITHIN: Duration = Duration::from_secs(2);

impl Engine {
    /// Whether this process is ready for work.
    pub async fn ready(&self) -> Readiness {
        Readiness {
            database: self.context.store.answers(READY_WITHIN).await,
            sandbox: self.context.sandbox.describe(),
            enforcement: self.context.sandbox.enforcement(),
            draining: self.context.drain.is_cancelled(),
            unknown_effects: self.context.unknown_effects.names(),
            data_dir: self.context.settings.data_dir.clone(),
            disk: self.disk.space(),
        }
    }
}
