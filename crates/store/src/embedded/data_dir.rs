//! The data directory itself.

use super::error::EmbeddedError;
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

/// Makes the data directory where it is missing.
///
/// As root it can be passed through by others, for the account the server runs as, but not listed.
pub(super) fn create(data_dir: &Path) -> Result<(), EmbeddedError> {
    let mode = if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    };
    if data_dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent).map_err(|source| EmbeddedError::directory("make", parent, source))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(data_dir)
        .map_err(|source| EmbeddedError::directory("make", data_dir, source))
}
