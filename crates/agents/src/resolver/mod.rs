//! The resolver: a model that wrote neither side resolves one conflict of one file.

mod parse;
mod prompt;
mod validate;

pub use parse::Format;
pub use validate::fitted;

#[cfg(test)]
mod tests;

use crate::{
    conversation::{answered, say},
    failure::Failure,
    schema,
};
use domain::{TaskKey, run::Reason};
use llm::{CostRole, Ledger, Message, ModelRef, Models, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use telemetry::TraceContext;

/// How often an invalid answer is returned to the model.
const SENT_BACK: u32 = 1;
/// Tokens an answer may have beyond the lines of the conflict.
const SPARE_TOKENS: usize = 1_024;

/// One conflict.
#[derive(Clone, Debug)]
pub struct ConflictOrder {
    /// The task that is being merged.
    pub task: TaskKey,
    /// The path.
    pub file: String,
    /// Which hunk of the file, from 1.
    pub hunk: u32,
    /// The number of hunks in the file.
    pub hunks: u32,
    /// The base version of the lines.
    pub base: String,
    /// The branch's version.
    pub ours: String,
    /// The task's version.
    pub theirs: String,
    /// The lines before the conflict.
    pub before: String,
    /// The lines after it.
    pub after: String,
    /// The intent of the branch's side.
    pub ours_intent: String,
    /// The intent of the task.
    pub theirs_intent: String,
    /// The branch's whole difference to the base in this file.
    pub ours_diff: String,
    /// The task's whole difference to the base in this file.
    pub theirs_diff: String,
    /// The answer of a model that was asked before and left the conflict open.
    pub earlier: Option<String>,
    /// Similar conflicts whose resolution has landed, the most similar first.
    pub past: Vec<PastDecision>,
    /// The language, if the path shows it.
    pub language: Option<String>,
    /// The model to ask.
    pub model: ModelRef,
    /// The deadline of the answer.
    pub deadline: Option<Instant>,
}

/// A conflict that was resolved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDecision {
    /// The path.
    pub file: String,
    /// The base version of the lines.
    pub base: String,
    /// The branch's version.
    pub ours: String,
    /// The task's version.
    pub theirs: String,
    /// The lines that landed.
    pub text: String,
}

/// How a conflict was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This text replaces the conflict.
    Replace {
        /// The lines, with the file's own line endings.
        text: String,
        /// Why.
        reason: String,
        /// Lines that only one side added and that were dropped, with the reason.
        dropped: Vec<DroppedLine>,
    },
    /// The conflict stays open.
    Decline {
        /// Why.
        reason: String,
    },
}

/// A dropped line and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DroppedLine {
    /// The line as its side had it.
    pub line: String,
    /// Why it is gone, or what it became.
    pub why: String,
}

/// The answer a model gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// Whether both intents can be kept.
    decision: Decision,
    /// The lines in place of the conflict; empty for `decline`.
    text: String,
    /// One or two sentences.
    reason: String,
    /// Every line that only one side added and that the text does not hold as it was.
    dropped_lines: Vec<DroppedLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Replace,
    Decline,
}

/// A further requirement of the caller, such as that the whole file parses.
pub type Acceptance<'a> = &'a (dyn Fn(&str) -> Result<(), String> + Sync);

/// Asks a model to resolve a conflict. An invalid answer, or one that `acceptable` refuses, goes back once; after that the
/// conflict stays open.
///
/// # Errors
/// The reason why no model could be asked: no budget, no key, no connection.
pub async fn resolve(
    order: &ConflictOrder,
    acceptable: Acceptance<'_>,
    models: &Models,
    ledger: &dyn Ledger,
    trace: Option<&TraceContext>,
) -> Result<Resolution, Reason> {
    let Some(user) = prompt::user(order) else {
        return Ok(declined("the conflict is too large to be shown to a model"));
    };
    let sides = order.base.len() + order.ours.len() + order.theirs.len();
    // Once as the text, once more for lines that are explained.
    let length = 2 * crate::text::tokens(sides) + SPARE_TOKENS;
    let mut request = Request {
        schema: Some(schema::strict::<Answer>("resolution")),
        max_output_tokens: u32::try_from(length).unwrap_or(u32::MAX),
        deadline: order.deadline,
        ..Request::new(
            order.model.clone(),
            CostRole::Resolver,
            vec![Message::system(prompt::SYSTEM), Message::user(user)],
        )
    };
    let mut problems = Vec::new();
    for _ in 0..=SENT_BACK {
        let document = match models.structured(&request, ledger, trace).await {
            Ok(answer) => answer.value,
            Err(error) => {
                return match Failure::of(&error) {
                    Failure::Unusable(text) | Failure::TooLong(text) => Ok(declined(&text)),
                    failure => Err(failure.into_reason()),
                };
            }
        };
        problems = match decide(&document, order, acceptable) {
            Ok(resolution) => return Ok(resolution),
            Err(problems) => problems,
        };
        answered(&mut request.messages, document.to_string());
        say(&mut request.messages, &prompt::refused(&problems));
    }
    Ok(declined(&format!(
        "the model's answer does not hold: {}",
        problems.join("; ")
    )))
}

fn decide(
    document: &serde_json::Value,
    order: &ConflictOrder,
    acceptable: Acceptance<'_>,
) -> Result<Resolution, Vec<String>> {
    let answer: Answer = serde_path_to_error::deserialize(document)
        .map_err(|error| vec![format!("{}: {}", error.path(), error.inner())])?;
    match answer.decision {
        Decision::Decline => Ok(declined(&answer.reason)),
        Decision::Replace => {
            let text = fitted(&answer.text, [&order.ours, &order.theirs]);
            validate::check(&text, &answer.dropped_lines, order)?;
            acceptable(&text).map_err(|problem| vec![problem])?;
            Ok(Resolution::Replace {
                text,
                reason: answer.reason,
                dropped: answer.dropped_lines,
            })
        }
    }
}

fn declined(reason: &str) -> Resolution {
    Resolution::Decline {
        reason: reason.to_owned(),
    }
}
