//! Where the hubs are that several machines work on.

use git::{PushAccess, PushError, Remote};

/// Where the name of a hub goes in an address.
const HUB: &str = "{hub}";

/// The repositories that all machines reach: one for each workspace.
#[derive(Clone, Debug)]
pub struct SharedHubs {
    address: String,
    access: PushAccess,
}

/// Why hubs can't be shared so.
#[derive(Debug, thiserror::Error)]
pub enum SharedHubsError {
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] PushError),
    /// It would be another place on each machine.
    #[error("'{address}' is neither a URL, host:path nor an absolute path")]
    Relative {
        /// The address.
        address: String,
    },
    /// Every workspace would have the same.
    #[error("'{address}' is the same for every workspace: put {HUB} where the name of each one's hub goes")]
    OneForAll {
        /// The address.
        address: String,
    },
}

impl SharedHubs {
    /// By their address, `{hub}` in it standing for the name of a workspace's hub.
    ///
    /// # Errors
    /// When the address holds a password, runs a program, or is the same for all.
    pub fn new(address: &str, access: PushAccess) -> Result<Self, SharedHubsError> {
        Remote::new(address, access.clone())?;
        if !address.contains(HUB) {
            let address = address.to_owned();
            return Err(SharedHubsError::OneForAll { address });
        }
        if !address.starts_with('/') && !address.contains(':') {
            let address = address.to_owned();
            return Err(SharedHubsError::Relative { address });
        }
        Ok(Self {
            address: address.to_owned(),
            access,
        })
    }

    /// The one of a workspace.
    pub(crate) fn of(&self, hub: &str) -> Result<Remote, git::GitError> {
        Ok(Remote::new(&self.address.replace(HUB, hub), self.access.clone())?)
    }
}
