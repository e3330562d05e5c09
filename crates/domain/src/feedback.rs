//! What a task's next attempt learns about the last one.

use crate::gate::GateReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Why the work of an attempt went back to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Feedback {
    /// The attempt, from 1; 0 where that is not known.
    #[serde(default)]
    pub attempt: u32,
    /// Why it went back.
    pub reason: String,
    /// What the gate found, where the gate rejected the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<FailedGate>,
    /// Paths whose conflicts nobody decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
}

impl Feedback {
    /// Feedback that is a reason alone.
    pub fn new(attempt: u32, reason: impl Into<String>) -> Self {
        Self {
            attempt,
            reason: reason.into(),
            gate: None,
            conflicts: Vec::new(),
        }
    }
}

/// The part of a gate report that a worker needs to fix its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailedGate {
    /// The check command.
    #[serde(default)]
    pub command: Option<String>,
    /// How the command ended.
    #[serde(default)]
    pub exit: String,
    /// The end of its output.
    #[serde(default)]
    pub output: String,
    /// Names of the tests that failed.
    #[serde(default)]
    pub failing: BTreeSet<String>,
}

impl From<&GateReport> for FailedGate {
    fn from(report: &GateReport) -> Self {
        Self {
            command: report.command.clone(),
            exit: report.exit.clone(),
            output: report.output.clone(),
            failing: report.failing.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_of_older_rows_is_read() {
        let plain: Feedback = serde_json::from_str(r#"{"attempt": 2, "reason": "no"}"#).unwrap();
        assert_eq!(plain, Feedback::new(2, "no"));
        let text = r#"{"attempt": 1, "reason": "no", "gate": {"command": "make", "exit": "exit code 2",
            "output": "not ok 1", "failing": ["adds"]}}"#;
        let gated: Feedback = serde_json::from_str(text).unwrap();
        assert_eq!(gated.gate.unwrap().failing, BTreeSet::from(["adds".to_owned()]));
        let conflicted: Feedback =
            serde_json::from_str(r#"{"attempt": 1, "reason": "no", "conflicts": ["a.rs"]}"#).unwrap();
        assert_eq!(conflicted.conflicts, ["a.rs"]);
    }
}
