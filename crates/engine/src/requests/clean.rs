//! Deletes data of ended runs on request.

use crate::{
    disk::{CleanMode, Cleaned, RetentionError},
    engine::Engine,
};
use std::time::Duration;

impl Engine {
    /// Deletes the data of runs that ended longer ago than this (by default as configured), then what exceeds the bound of
    /// the data directory. Safe to repeat.
    ///
    /// # Errors
    /// When another process is cleaning, or the database or the disk fails.
    pub async fn clean(&self, older_than: Option<Duration>, mode: CleanMode) -> Result<Cleaned, RetentionError> {
        self.disk.clean(older_than, mode).await
    }

    /// [`Self::clean`], followed by a measurement, so that work that waits for disk space continues at once.
    ///
    /// # Errors
    /// When another process is cleaning, or the database or the disk fails.
    pub async fn clean_now(&self, older_than: Option<Duration>, mode: CleanMode) -> Result<Cleaned, RetentionError> {
        let disk = self.disk.clone();
        // Spawned, so that it completes although the caller does not wait for the answer.
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
