//! Giving up what old runs left, on a person's request.

use crate::{
    disk::{CleanMode, Cleaned, RetentionError},
    engine::Engine,
};
use std::time::Duration;

impl Engine {
    /// Gives up the trees and outputs of runs that ended so long ago (as long as is configured, where nothing is
    /// said), then what has to go for the data directory to keep within its bound. Again is fine.
    ///
    /// # Errors
    /// When another process does it, or the database or the disk fails.
    pub async fn clean(&self, older_than: Option<Duration>, mode: CleanMode) -> Result<Cleaned, RetentionError> {
        self.disk.clean(older_than, mode).await
    }

    /// The same. What comes of it is measured at once, so that what waited for room goes on.
    ///
    /// # Errors
    /// When another process does it, or the database or the disk fails.
    pub async fn clean_now(&self, older_than: Option<Duration>, mode: CleanMode) -> Result<Cleaned, RetentionError> {
        let disk = self.disk.clone();
        // A task of its own: a person who does not wait for the answer does not cut it short.
        let cleaning = tokio::spawn(async move {
            let cleaned = disk.clean(older_than, mode).await;
            if let (CleanMode::Remove, Some(found)) = (mode, disk.measure().await) {
                disk.publish(found);
            }
            cleaned
        });
        match cleaning.await {
            Ok(cleaned) => cleaned,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
