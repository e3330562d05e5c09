//! Checks of data directory, disk, database and shared hubs.

use super::{Finding, State, failed, not_ok, ok};
use crate::{config::Loaded, failure::Failure, wire};
use engine::bytes_in_words;
use std::path::{Path, PathBuf};
use store::embedded;
use tokio_util::sync::CancellationToken;

pub(super) fn data_directory(loaded: &Loaded) -> Finding {
    let path = &loaded.config.data_dir;
    let existing = existing(path);
    let writable = rustix::fs::access(&existing, rustix::fs::Access::WRITE_OK).is_ok();
    match (writable, existing == *path) {
        (true, true) => ok("data", path.display().to_string()),
        (true, false) => ok("data", format!("{} (will be created)", path.display())),
        (false, _) => not_ok(
            "data",
            State::Missing,
            format!("{} is not writable for this account", existing.display()),
            "choose another with --data-dir or ORCHESTRATOR_DATA_DIR",
        ),
    }
}

pub(super) fn disk(loaded: &Loaded) -> Finding {
    let floor = loaded.config.engine.disk_floor_bytes;
    let path = existing(&loaded.config.data_dir);
    let Ok(disk) = rustix::fs::statvfs(&path) else {
        return not_ok(
            "disk",
            State::Warning,
            format!("the disk of {} can't be read", path.display()),
            "",
        );
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let words = format!("{} MiB free at {}", free >> 20, path.display());
    if free < floor {
        let advice = format!(
            "at least {} MiB are needed (engine.disk_floor_bytes); free some",
            floor >> 20
        );
        return not_ok("disk", State::Missing, words, advice);
    }
    ok("disk", words)
}

/// Disk usage of the parts of the data directory.
pub(super) async fn disk_use(loaded: &Loaded) -> Finding {
    const NAME: &str = "use";
    let data_dir = loaded.config.data_dir.clone();
    let measure = move || engine::DiskUse::measure(&data_dir, &CancellationToken::new());
    let Some(found) = tokio::task::spawn_blocking(measure).await.ok().flatten() else {
        return not_ok(NAME, State::Warning, "the data directory can't be measured", "");
    };
    let total = bytes_in_words(found.total_bytes());
    let parts = match found.areas.is_empty() {
        true => "nothing yet".to_owned(),
        false => found.words(),
    };
    match loaded.config.retention.bytes {
        None => ok(NAME, format!("{total}, without a bound (retention.bytes): {parts}")),
        Some(bound) if found.total_bytes() <= bound => ok(
            NAME,
            format!("{total} of {} (retention.bytes): {parts}", bytes_in_words(bound)),
        ),
        Some(bound) => not_ok(
            NAME,
            State::Warning,
            format!(
                "{total}, over the bound of {} (retention.bytes): {parts}",
                bytes_in_words(bound)
            ),
            "nothing new starts until there is space: `orchestrator clean --older-than 0`, or raise the bound",
        ),
    }
}

/// Connects to the configured server, or starts a private one in a temporary directory.
pub(super) async fn database(loaded: &Loaded, running: Option<&str>) -> Finding {
    const NAME: &str = "database";
    if let Some(address) = running {
        return ok(NAME, format!("in use by the server at {address}"));
    }
    if let Some(url) = &loaded.config.database.url {
        return match wire::try_database(loaded, url).await {
            Ok(server) => ok(NAME, server),
            Err(failure) => failed(NAME, &failure),
        };
    }
    let tried = tokio::task::spawn_blocking(try_private_server).await;
    let broken = |error| Err(Failure::internal("the database can't be tried").caused_by(error));
    match tried.unwrap_or_else(broken) {
        Ok(programs) => ok(NAME, format!("a private PostgreSQL starts, from {programs}")),
        Err(failure) => failed(NAME, &failure),
    }
}

/// The address of shared hubs. Whether it can be reached shows in the first run: each hub has its own name.
pub(super) fn hubs(loaded: &Loaded) -> Option<Finding> {
    let address = loaded.config.hubs.address.as_ref()?;
    let database = loaded.config.database.url.is_some();
    Some(match wire::shared_hubs(loaded) {
        Ok(_) if !database => not_ok(
            "hubs",
            State::Warning,
            format!("shared at {address}, but the database is this machine's own"),
            "set DATABASE_URL to a database that the other machines reach, too",
        ),
        Ok(_) => ok("hubs", format!("shared at {address}")),
        Err(failure) => failed("hubs", &failure),
    })
}

/// The path, or the nearest directory above it that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

fn try_private_server() -> Result<String, Failure> {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::environment("no temporary directory can be made").caused_by(error))?;
    let settings = embedded::Settings {
        durability: embedded::Durability::None,
        ..embedded::Settings::default()
    };
    // `start` creates the directory with a mode that lets the server's account in.
    let running = embedded::start(&directory.path().join("data"), &settings)?;
    let programs = running.binaries().display().to_string();
    running.stop()?;
    Ok(programs)
}
