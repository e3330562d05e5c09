//! Every bound that a run is held to, with a sane default, each named as the configuration names it.

use crate::money::NanoDollars;
use serde::{Deserialize, Serialize};

/// The limits of one run. Stored with it, so that a later change of the configuration does not change its terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// Runs of the whole database that may be unfinished when this one is accepted, itself among them.
    pub open_runs: u32,
    /// Dollars a run may cost; `None` for no cap.
    pub cost_nanodollars: Option<NanoDollars>,
    /// Tasks in a plan.
    pub tasks: u32,
    /// The longest chain of dependencies in a plan.
    pub depth: u32,
    /// Tasks of the run that workers hold at one time.
    pub active_tasks: u32,
    /// Handled failures of a task, rejected merges among them, before it has failed.
    pub failures: u32,
    /// Deaths of the process under a task before it is poison.
    pub crashes: u32,
    /// Rounds through the director's model to repair a plan.
    pub plan_repairs: u32,
    /// Model turns in one attempt.
    pub turns: u32,
    /// Seconds one attempt may take.
    pub attempt_s: u64,
    /// Seconds one tool call may take.
    pub tool_s: u64,
    /// Seconds the check command may take.
    pub gate_s: u64,
    /// Bytes of a command's output that are kept.
    pub output_bytes: u64,
    /// Tokens a model may answer with in one turn.
    pub output_tokens: u32,
    /// Bytes of one file that a worker's tree may hold.
    pub file_bytes: u64,
    /// Files a worker's tree may hold.
    pub files: u64,
    /// Seconds a run may take from its submission.
    pub run_s: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            open_runs: 1_000,
            cost_nanodollars: None,
            tasks: 40,
            depth: 12,
            active_tasks: 3,
            failures: 3,
            crashes: 3,
            plan_repairs: 2,
            turns: 60,
            attempt_s: 3_600,
            tool_s: 600,
            gate_s: 1_800,
            output_bytes: 4 << 20,
            output_tokens: 4_096,
            file_bytes: 100 << 20,
            files: 200_000,
            run_s: 86_400,
        }
    }
}

/// The longest objective that is accepted, in bytes.
pub const OBJECTIVE_BYTES: usize = 64 << 10;
