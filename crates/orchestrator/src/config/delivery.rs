//! How the work of a workspace's runs is handed over: `[workspaces.<name>.delivery]`.

use serde::{Deserialize, Serialize};

/// `[workspaces.<name>.delivery]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeliverySection {
    /// The branch is pushed there.
    pub(crate) push: Option<PushSection>,
    /// A pull request is made of it.
    pub(crate) pull_request: Option<PullRequestSection>,
}

/// `[workspaces.<name>.delivery.push]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushSection {
    /// The remote; an address with a password is refused.
    pub(crate) address: String,
    /// The branch there, `{run}` being the run's short id; the run's own branch where it is not set.
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
    /// The command that makes a pull request and prints its address, word by word.
    pub(crate) create: Vec<String>,
    /// The command that prints the address of the one there is, or nothing.
    pub(crate) find: Vec<String>,
    /// The branch to merge into; the one the run began from where it is not set.
    #[serde(default)]
    pub(crate) base: Option<String>,
    /// The variables both are given, besides PATH.
    #[serde(default)]
    pub(crate) pass_env: Vec<String>,
    /// Seconds either may take.
    #[serde(default = "default_time_s")]
    pub(crate) time_s: u64,
    /// Bytes of their output that are read.
    #[serde(default = "default_output_bytes")]
    pub(crate) output_bytes: usize,
}

const fn default_time_s() -> u64 {
    120
}

const fn default_output_bytes() -> usize {
    64 << 10
}
