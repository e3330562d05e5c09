//! The database: the user's own server, or a private one in the data directory.

use super::blocking;
use crate::{
    config::{Loaded, masked_address},
    failure::Failure,
};
use std::{path::Path, time::Duration};
use store::{
    Store,
    connect::{Database, PoolSettings},
    embedded::{self, Running},
};

/// Connects; starts the private server where no other is configured.
pub(super) async fn open_database(loaded: &Loaded, data_dir: &Path) -> Result<(Store, Option<Running>), Failure> {
    let settings = pool_settings(loaded, data_dir);
    let (database, postgres) = match &loaded.config.database.url {
        Some(url) => (Database::Url(url.clone()), None),
        None => {
            let directory = data_dir.to_owned();
            let started = blocking(move || embedded::start(&directory, &embedded::Settings::default())).await;
            let postgres = started.map_err(Failure::from)?;
            (Database::from(postgres.options.clone()), Some(postgres))
        }
    };
    match Store::open(database, &settings).await {
        Ok(store) => Ok((store, postgres)),
        Err(error) => {
            stop_postgres(postgres).await;
            let failure = Failure::from(error);
            Err(match &loaded.config.database.url {
                Some(url) => failure.with("DATABASE_URL", masked_address(url)),
                None => failure,
            })
        }
    }
}

/// Settings of the connection pool.
pub(super) fn pool_settings(loaded: &Loaded, data_dir: &Path) -> PoolSettings {
    PoolSettings {
        process_name: data_dir.display().to_string(),
        // A process that stalls in a transaction blocks the rows of a run no longer than its lease.
        idle_in_transaction: Duration::from_secs(loaded.config.engine.lease_s),
        ..PoolSettings::default()
    }
}

pub(super) async fn close_database(store: Store, postgres: Option<Running>) {
    store.close().await;
    stop_postgres(postgres).await;
}

pub(super) async fn stop_postgres(postgres: Option<Running>) {
    let Some(postgres) = postgres else { return };
    if let Err(error) = blocking(move || postgres.stop()).await {
        tracing::warn!(%error, "the private database server could not be stopped; the next start reuses it");
    }
}
