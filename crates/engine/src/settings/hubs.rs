//! Hubs that several machines share.

use git::{PushAccess, PushError, Remote};

/// The placeholder for a hub's name in the address.
const HUB: &str = "{hub}";

/// The repositories that all machines can reach: one for each workspace.
#[derive(Clone, Debug)]
pub struct SharedHubs {
    address: String,
    access: PushAccess,
}

/// Why shared hubs can't be configured.
#[derive(Debug, thiserror::Error)]
pub enum SharedHubsError {
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] PushError),
    /// It would be a different directory on each machine.
    #[error("'{address}' is neither a URL, host:path nor an absolute path")]
    Relative {
        /// The address.
        address: String,
    },
    /// All workspaces would have the same hub.
    #[error("'{address}' is the same for every workspace: put {HUB} where the name of the hub goes")]
    OneForAll {
        /// The address.
        address: String,
    },
}

impl SharedHubs {
    /// Hubs by their address, in which `{hub}` stands for the name of a workspace's hub.
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

    /// The hub of a workspace.
    pub(crate) fn of(&self, hub: &str) -> Result<Remote, git::GitError> {
        Ok(Remote::new(&self.address.replace(HUB, hub), self.access.clone())?)
    }
}
