//! `finish`: parses the worker's report. The tree and the gate decide what the work is worth.

use domain::task::Outcome;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Done, ToolFailure, arguments};

pub(super) const DESCRIPTION: &str = "Ends your work and hands in your report. Call it once, alone, after you have \
    checked your work. `blocked` and `impossible` are honest answers. Do not commit: your changes are taken from \
    the worktree.";

/// What a worker says of its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// How far it got: `done`, all of it; `partial`, some; `blocked`, something outside your reach is missing;
    /// `impossible`, it cannot be done as asked.
    #[schemars(schema_with = "outcome_schema")]
    pub outcome: Outcome,
    /// What was done and what is missing, in a few sentences.
    pub summary: String,
    /// One entry per acceptance criterion of the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acceptance: Vec<AcceptanceReport>,
    /// Interfaces others use that are different now, with their new form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces_changed: Vec<String>,
    /// Choices made, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<String>,
    /// What was tried and did not work, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried_and_failed: Vec<String>,
    /// Work that was seen and left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_scope: Vec<String>,
    /// What is still not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknowns: Vec<String>,
}

/// What a worker says of one acceptance criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceReport {
    /// The criterion's id.
    pub id: String,
    /// Whether it is met.
    pub status: AcceptanceStatus,
    /// What shows it: the command and what it printed.
    #[serde(default)]
    pub evidence: String,
}

/// Whether a criterion is met, in the worker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AcceptanceStatus {
    #[allow(
        missing_docs,
        reason = "a doc comment would turn the schema's plain list into alternatives"
    )]
    Met,
    #[allow(missing_docs, reason = "as above")]
    NotMet,
    #[allow(missing_docs, reason = "as above")]
    Unknown,
}

fn outcome_schema(_: &mut SchemaGenerator) -> Schema {
    let names = [Outcome::Done, Outcome::Partial, Outcome::Blocked, Outcome::Impossible].map(Outcome::as_str);
    json_schema!({ "type": "string", "enum": names })
}

pub(super) fn run(arguments: &str) -> Result<Done, ToolFailure> {
    let finish: Finish = arguments::parse(arguments)?;
    if finish.summary.trim().is_empty() {
        let text = "The summary is empty. Say in a few sentences what was done and what is missing.";
        return Err(ToolFailure::new("bad_arguments", text));
    }
    Ok(Done {
        content: "The report is recorded.".to_owned(),
        ok: true,
        finish: Some(finish),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_report_is_enough() {
        let finish = run(r#"{"outcome": "done", "summary": "All green."}"#)
            .ok()
            .unwrap()
            .finish
            .unwrap();
        assert_eq!((finish.outcome, finish.acceptance.len()), (Outcome::Done, 0));
    }

    #[test]
    fn a_full_report_is_read() {
        let finish = run(r#"{"outcome": "partial", "summary": "s", "unknowns": ["u"],
            "acceptance": [{"id": "A1", "status": "not_met", "evidence": "make test: 1 failed"}]}"#);
        let finish = finish.ok().unwrap().finish.unwrap();
        assert_eq!(finish.acceptance[0].status, AcceptanceStatus::NotMet);
        assert_eq!(finish.unknowns, ["u"]);
    }

    #[test]
    fn an_unknown_outcome_is_named() {
        let text = run(r#"{"outcome": "great", "summary": "s"}"#).err().unwrap().text;
        assert!(text.contains("`outcome`") && text.contains("great"), "{text}");
        assert!(
            run(r#"{"outcome": "done", "summary": " "}"#)
                .err()
                .unwrap()
                .text
                .contains("summary")
        );
    }
}
