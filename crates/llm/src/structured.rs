//! Answers that follow a schema: requested, always validated, and repaired once.

use crate::{
    error::Error,
    ledger::Ledger,
    models::Models,
    types::{Message, OutputSchema, Reply, Request, StopReason},
};
use jsonschema::Validator;
use serde_json::Value;
use telemetry::TraceContext;

/// How many problems the model and the error get.
const PROBLEM_LIMIT: usize = 12;
/// Characters of one problem.
const PROBLEM_LENGTH: usize = 300;

/// An answer that follows the schema.
#[derive(Clone, Debug)]
pub struct Structured {
    /// The document.
    pub value: Value,
    /// The reply with the document; the second one after a repair.
    pub reply: Reply,
    /// The problems of the first answer; empty if it was valid.
    pub repaired: Vec<String>,
}

impl Models {
    /// Requests an answer that follows `request.schema`, or any JSON document if there is none.
    ///
    /// An invalid answer is sent back once with its problems. Each request is a separate call in the ledger.
    pub async fn structured(
        &self,
        request: &Request,
        ledger: &dyn Ledger,
        trace: Option<&TraceContext>,
    ) -> Result<Structured, Error> {
        let validator = validator(request)?;
        let reply = self.complete(request, ledger, trace).await?;
        let problems = match document(&reply, request.schema.as_ref(), &validator) {
            Ok(value) => {
                return Ok(Structured {
                    value,
                    reply,
                    repaired: Vec::new(),
                });
            }
            Err(problems) => problems,
        };
        let mut repair = request.clone();
        repair
            .messages
            .extend(repair_turn(answer_in(&reply, request.schema.as_ref()), &problems));
        let reply = self.complete(&repair, ledger, trace).await?;
        match document(&reply, request.schema.as_ref(), &validator) {
            Ok(value) => Ok(Structured {
                value,
                reply,
                repaired: problems,
            }),
            Err(problems) => Err(invalid(request, problems)),
        }
    }
}

fn validator(request: &Request) -> Result<Validator, Error> {
    let anything = Value::Bool(true);
    let schema = request.schema.as_ref().map_or(&anything, |schema| &schema.accepts);
    jsonschema::validator_for(schema)
        .map_err(|error| invalid(request, vec![format!("the schema itself is not valid: {error}")]))
}

fn invalid(request: &Request, problems: Vec<String>) -> Error {
    let schema = request
        .schema
        .as_ref()
        .map_or("any JSON", |schema| &schema.name)
        .to_owned();
    Error::Invalid {
        on: request.model.clone(),
        schema,
        problems,
    }
}

/// The text of the answer: a model may answer by text although it was given a tool, and the reverse.
fn answer_in<'a>(reply: &'a Reply, schema: Option<&OutputSchema>) -> &'a str {
    let by_tool = schema.and_then(|schema| reply.tool_calls.iter().find(|call| call.name == schema.name));
    by_tool
        .map(|call| call.arguments.as_str())
        .or(reply.content.as_deref())
        .unwrap_or_default()
}

/// The document in a reply, or its problems.
fn document(reply: &Reply, schema: Option<&OutputSchema>, validator: &Validator) -> Result<Value, Vec<String>> {
    let text = answer_in(reply, schema);
    let value: Value = serde_json::from_str(without_fence(text)).map_err(|error| {
        let mut problems = vec![match text.trim().is_empty() {
            true => "the answer is empty".to_owned(),
            false => format!("the answer is not a JSON document: {error}"),
        }];
        if reply.stop == StopReason::Length {
            problems.push("it reached its limit of length; answer shorter".into());
        }
        problems
    })?;
    let problems: Vec<String> = validator
        .iter_errors(&value)
        .take(PROBLEM_LIMIT)
        .map(|error| {
            let path = error.instance_path().to_string();
            let path = if path.is_empty() { "the document" } else { &path };
            format!("{path}: {error}").chars().take(PROBLEM_LENGTH).collect()
        })
        .collect();
    if problems.is_empty() { Ok(value) } else { Err(problems) }
}

/// The text inside a Markdown code fence, which many models put around a document.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inside
        .and_then(|inside| inside.strip_suffix("```"))
        .map_or(text, str::trim)
}

/// The invalid answer and its problems, as text: the model may have called an unknown tool, and providers reject a history
/// with such a call.
fn repair_turn(answer: &str, problems: &[String]) -> [Message; 2] {
    let complaint = format!(
        "Your answer does not follow the schema:\n- {}\nGive the whole answer again, corrected, and nothing else.",
        problems.join("\n- ")
    );
    let said = match answer.trim() {
        "" => "(no answer)",
        _ => answer,
    };
    let said = Message::Assistant {
        content: Some(said.to_owned()),
        tool_calls: Vec::new(),
    };
    [said, Message::user(complaint)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_fence_around_document_is_removed() {
        for text in ["{\"a\":1}", "```json\n{\"a\":1}\n```", "  ```\n{\"a\":1}```\n"] {
            assert_eq!(without_fence(text), "{\"a\":1}");
        }
        assert_eq!(without_fence("```json {"), "```json {");
    }
}
