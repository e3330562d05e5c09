//! Names of span attributes. The OpenTelemetry conventions for generative AI are still in development, so their names are
//! only here.

/// What the span does: `invoke_workflow`, `plan`, `invoke_agent`, `chat`, `execute_tool`.
pub const OPERATION: &str = "gen_ai.operation.name";
/// The provider's name in the configuration, never an address.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The requested model.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Why the model stopped.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Tokens read.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens written.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The agent, by its profile.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The tool.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// The workflow.
pub const WORKFLOW_NAME: &str = "gen_ai.workflow.name";
/// A short name for the kind of failure.
pub const ERROR_TYPE: &str = "error.type";

/// The run.
pub const RUN_ID: &str = "orchestrator.run.id";
/// The task, by its number in the database.
pub const TASK_ID: &str = "orchestrator.task.id";
/// Which attempt of the task.
pub const ATTEMPT: &str = "orchestrator.attempt";
/// Which turn of the worker.
pub const TURN: &str = "orchestrator.turn";
/// The worker's profile.
pub const PROFILE: &str = "orchestrator.profile";
/// The merge, by its number in the database.
pub const MERGE_ID: &str = "orchestrator.merge.id";
