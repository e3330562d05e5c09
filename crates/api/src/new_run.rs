//! The request for a run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The highest limit of a run's cost, in dollars.
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
    /// What to achieve, in words.
    #[schema(min_length = 1, max_length = 65536, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub objective: String,
    /// An absolute path on the server's machine: a git repository, or below a workspace root of the server, an empty or
    /// missing directory.
    #[schema(min_length = 1, max_length = 4096, pattern = r"^/[^\x00]*$")]
    pub workspace_path: String,
    /// Whether to make a repository of a directory that has files but no repository: the files become its first commit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub initialise: bool,
    /// Models, check command and limits.
    #[serde(default)]
    pub orch_config: OrchConfig,
}

/// Whether a field is left out of the document.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// How to carry out the run, where it differs from the server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrchConfig {
    /// The model that plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub director_model: Option<ModelChoice>,
    /// The model that works on tasks and resolves conflicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_model: Option<ModelChoice>,
    /// The check command: a shell command that the gate runs on each merged tree. Only a tree that passes lands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 8192, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub check: Option<String>,
    /// The most the run may cost, in dollars. A model call that could exceed it is not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000000000)]
    pub max_cost_dollars: Option<f64>,
    /// Other limits.
    #[serde(skip_serializing_if = "RunLimits::is_empty")]
    pub limits: RunLimits,
    /// Whether the checkout may be fast-forwarded despite integrity flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_integrity_flags: Option<bool>,
}

/// How to deliver a run's branch again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverRequest {
    /// Whether the checkout may be fast-forwarded despite integrity flags. Consent is permanent: `false` does not
    /// withdraw it.
    pub allow_integrity_flags: bool,
}

/// A model of a configured provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelChoice {
    /// The provider's name in the server's configuration.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub provider: String,
    /// The provider's name of the model.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    pub model_name: String,
}

/// Limits of a run, where they differ from the server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunLimits {
    /// The most tasks that workers may hold at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub active_tasks: Option<u32>,
    /// The most tasks in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub tasks: Option<u32>,
    /// Failures of a task before it fails for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub failures: Option<u32>,
    /// The most model turns in one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub turns: Option<u32>,
    /// The most seconds the run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub run_s: Option<u64>,
    /// The most seconds the check command may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483648_i64)]
    pub gate_s: Option<u64>,
}

impl RunLimits {
    /// Whether no limit is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
