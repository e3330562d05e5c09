//! The request for a run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More dollars than any run may cost.
pub const COST_DOLLARS: f64 = 1e9;

/// An objective for a workspace. Everything in `orch_config` has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "objective": "Create a simple hello world function",
    "workspace_path": "/tmp/test-workspace",
    "orch_config": {
        "director_model": {"provider": "openai", "model_name": "gpt-4"},
        "worker_model": {"provider": "openai", "model_name": "gpt-4"}
    }
}))]
pub struct NewRun {
    /// What is wanted, in words.
    #[schema(min_length = 1, max_length = 65536, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub objective: String,
    /// An absolute path on the server's machine: a git repository, or, below a directory that the server has for
    /// workspaces, an empty directory or nothing yet.
    #[schema(min_length = 1, max_length = 4096, pattern = r"^/[^\x00]*$")]
    pub workspace_path: String,
    /// Make a repository of a directory that has files and none: they become its first commit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub initialise: bool,
    /// Models, check command, limits.
    #[serde(default)]
    pub orch_config: OrchConfig,
}

/// For fields that are left out where they say nothing.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// How a run is to be carried out, where it differs from the server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrchConfig {
    /// Who plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub director_model: Option<ModelChoice>,
    /// Who works and resolves conflicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_model: Option<ModelChoice>,
    /// A shell command that tells whether a merged tree is good; it decides what lands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 8192, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub check: Option<String>,
    /// Dollars the run may cost. No call to a model is made that could pass it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000000000)]
    pub max_cost_dollars: Option<f64>,
    /// Other limits.
    #[serde(skip_serializing_if = "LimitsAsked::is_empty")]
    pub limits: LimitsAsked,
    /// Whether the checkout may be fast-forwarded at delivery although the run has integrity flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_integrity_flags: Option<bool>,
}

/// How a run's work is to be delivered again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverAsked {
    /// Consent to fast-forward the checkout although the run has integrity flags. It is kept: `false` does not take
    /// it back.
    pub allow_integrity_flags: bool,
}

/// A model of a provider that the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelChoice {
    /// The provider's name in the server's configuration.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub provider: String,
    /// The model's name, as the provider knows it.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub model_name: String,
}

/// Limits of a run, where they differ from the server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsAsked {
    /// Tasks that workers hold at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub active_tasks: Option<u32>,
    /// Tasks in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub tasks: Option<u32>,
    /// Handled failures of a task before it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub failures: Option<u32>,
    /// Model turns in one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub turns: Option<u32>,
    /// Seconds the run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub run_s: Option<u64>,
    /// Seconds the check command may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub gate_s: Option<u64>,
}

impl LimitsAsked {
    /// Whether no limit is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
