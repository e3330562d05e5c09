//! What the gate reports about a merged tree.

use crate::names::named;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(GateVerdict);

/// The gate's verdict on a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum GateVerdict {
    /// The check command succeeded.
    Passed,
    /// The check command ran and failed.
    Failed,
    /// The check command could not run, or its result could not be read. Never a pass.
    CouldNotRun,
    /// There is no check command: the merge lands unchecked.
    NotConfigured,
}

impl GateVerdict {
    /// As people read it: `could not run`.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::CouldNotRun => "could not run",
            Self::NotConfigured => "not configured",
        }
    }

    /// Whether a tree with this verdict may land.
    pub const fn lands(self) -> bool {
        match self {
            Self::Passed | Self::NotConfigured => true,
            Self::Failed | Self::CouldNotRun => false,
        }
    }
}

/// The gate's report on a merged tree, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateReport {
    /// The verdict.
    pub verdict: GateVerdict,
    /// The check command; `None` where none is configured.
    #[serde(default)]
    pub command: Option<String>,
    /// How the command ended: `exit code 1`, `the time limit`, …
    #[serde(default)]
    pub exit: String,
    /// Tests that passed, where the output tells.
    #[serde(default)]
    pub passed: Option<u64>,
    /// Tests that failed, where the output tells.
    #[serde(default)]
    pub failed: Option<u64>,
    /// Names of the tests that failed.
    #[serde(default)]
    pub failing: BTreeSet<String>,
    /// Names of tests that failed in one run and passed in another, on the same tree.
    #[serde(default)]
    pub flaky: BTreeSet<String>,
    /// How often the command ran.
    #[serde(default)]
    pub runs: u32,
    /// Milliseconds of all runs.
    #[serde(default)]
    pub duration_ms: u64,
    /// Why the verdict differs from the exit, or what else there is to know.
    #[serde(default)]
    pub note: Option<String>,
    /// The end of the output, where test runners sum up.
    #[serde(default)]
    pub output: String,
    /// The file with the whole output, where `output` is cut.
    #[serde(default)]
    pub output_file: Option<String>,
}

impl GateReport {
    /// The report for a run without a check command.
    pub fn not_configured() -> Self {
        Self {
            verdict: GateVerdict::NotConfigured,
            command: None,
            exit: "not run".into(),
            passed: None,
            failed: None,
            failing: BTreeSet::new(),
            flaky: BTreeSet::new(),
            runs: 0,
            duration_ms: 0,
            note: Some("no check command is configured or detected: this merge is unchecked".into()),
            output: String::new(),
            output_file: None,
        }
    }

    /// The end of the output, where the verdict is bad and so worth explaining.
    pub fn failed_output(&self) -> Option<&str> {
        (!self.verdict.lands()).then_some(self.output.as_str())
    }

    /// The report in one sentence.
    pub fn sentence(&self) -> String {
        let command = self.command.as_deref().unwrap_or_default();
        let tests = match (self.passed, self.failed) {
            (Some(passed), Some(failed)) => format!(", {passed} tests passed and {failed} failed"),
            (_, _) => String::new(),
        };
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!(
            "the check `{command}` on the merged tree ended with {}{tests}{note}",
            self.exit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_with_a_verdict_alone_is_read() {
        let report: GateReport = serde_json::from_str(r#"{"verdict": "could_not_run", "from_a_newer": 1}"#).unwrap();
        assert_eq!((report.verdict, report.runs), (GateVerdict::CouldNotRun, 0));
        assert!(report.failing.is_empty());
    }

    #[test]
    fn verdict_has_the_same_name_in_documents_and_in_code() {
        for verdict in GateVerdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
    }
}
