//! `[workspaces.<name>.delivery]`: how the branches of a workspace's runs are delivered.

use serde::{Deserialize, Serialize};

/// `[workspaces.<name>.delivery]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeliverySection {
    /// Where the branch is pushed.
    pub(crate) push: Option<PushSection>,
    /// How a pull request is created for it.
    pub(crate) pull_request: Option<PullRequestSection>,
}

/// `[workspaces.<name>.delivery.push]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushSection {
    /// Address of the remote; one with a password is refused.
    pub(crate) address: String,
    /// Branch on the remote; `{run}` is the run's short id. By default the run's own branch.
    #[serde(default)]
    pub(crate) branch: Option<String>,
    /// As git's `credential.helper`.
    #[serde(default)]
    pub(crate) credential_helper: Option<String>,
    /// As git's `core.sshCommand`.
    #[serde(default)]
    pub(crate) ssh_command: Option<String>,
}

/// `[workspaces.<name>.delivery.pull_request]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullRequestSection {
    /// Words of the command that creates a pull request and prints its address.
    pub(crate) create: Vec<String>,
    /// Words of the command that prints the address of an existing pull request, or nothing.
    pub(crate) find: Vec<String>,
    /// Branch to merge into; by default the one the run started from.
    #[serde(default)]
    pub(crate) base: Option<String>,
    /// Environment variables for both commands, besides PATH.
    #[serde(default)]
    pub(crate) pass_env: Vec<String>,
    /// Seconds each command may take.
    #[serde(default = "default_time_s")]
    pub(crate) time_s: u64,
    /// Most bytes read of their output.
    #[serde(default = "default_output_bytes")]
    pub(crate) output_bytes: usize,
}

const fn default_time_s() -> u64 {
    120
}

const fn default_output_bytes() -> usize {
    64 << 10
}
