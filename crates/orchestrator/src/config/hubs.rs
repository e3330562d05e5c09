//! `[hubs]`: for several machines that work together.

use serde::{Deserialize, Serialize};

/// `[hubs]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HubsSection {
    /// The repository that all machines reach, with `{hub}` where a workspace's own name goes; without it each machine
    /// works by itself.
    pub(crate) address: Option<String>,
    /// As git's `credential.helper`.
    pub(crate) credential_helper: Option<String>,
    /// As git's `core.sshCommand`.
    pub(crate) ssh_command: Option<String>,
}
