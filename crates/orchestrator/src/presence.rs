//! The file in the data directory by which a server is found.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

const FILE: &str = "server.json";

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// `http://127.0.0.1:8000`
    pub(crate) address: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// Address of the scripted model, during a demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scripted_model: Option<String>,
}

impl Presence {
    /// This process, serving at an address.
    pub(crate) fn here(address: SocketAddr, scripted_model: Option<String>) -> Self {
        Self {
            address: format!("http://{}", reachable(address)),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            scripted_model,
        }
    }

    /// Reads the file of a data directory; `None` where it is missing or can't be read.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes the file atomically; it is removed when the result is dropped.
    pub(crate) fn publish(&self, data_dir: &Path) -> Result<Published, Failure> {
        let path = data_dir.join(FILE);
        self.write(&path, data_dir).map_err(|error| {
            Failure::environment("the server could not publish its address")
                .with("file", path.display())
                .caused_by(error)
                .hint("check the disk and the owner of the data directory")
        })?;
        Ok(Published { path })
    }

    fn write(&self, path: &Path, directory: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

/// A published file, removed on drop.
#[derive(Debug)]
pub(crate) struct Published {
    path: PathBuf,
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the published address could not be removed");
        }
    }
}

/// A server that listens on every address is reached by loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_address_is_found_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let presence = Presence::here("0.0.0.0:8123".parse().unwrap(), None);
        let published = presence.publish(directory.path()).unwrap();
        assert_eq!(
            Presence::read(directory.path()).unwrap().address,
            "http://127.0.0.1:8123"
        );
        drop(published);
        assert_eq!(Presence::read(directory.path()), None);
    }

    #[test]
    fn truncated_file_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "{\"address\": \"http://").unwrap();
        assert_eq!(Presence::read(directory.path()), None);
    }
}
