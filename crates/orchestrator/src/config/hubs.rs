//! `[hubs]`: hubs that several machines share.

use serde::{Deserialize, Serialize};

/// `[hubs]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HubsSection {
    /// Address of the shared hubs; `{hub}` stands for the name of a workspace's hub. Without it, each machine works by
    /// itself.
    pub(crate) address: Option<String>,
    /// As git's `credential.helper`.
    pub(crate) credential_helper: Option<String>,
    /// As git's `core.sshCommand`.
    pub(crate) ssh_command: Option<String>,
}
