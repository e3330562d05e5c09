//! Violations that a request can have.

use serde::{Deserialize, Serialize};

/// One violation of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Its kind.
    pub kind: ViolationKind,
    /// Where and how, for people.
    pub detail: String,
}

/// Kinds of violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// The body is not a JSON object.
    NotJson,
    /// A parameter is missing, or not allowed beside the others.
    BadParameter,
    /// There are no messages.
    NoMessages,
    /// A message of an unknown role.
    UnknownRole,
    /// The first message is not a system message.
    FirstNotSystem,
    /// A message without required content.
    EmptyMessage,
    /// A tool call in the history without id, name or arguments, or with an id twice.
    BadToolCall,
    /// A tool call without a tool message in its place.
    UnansweredCall,
    /// A tool message that answers no open call.
    UnexpectedToolMessage,
    /// The history calls a tool that the request does not offer.
    UnknownTool,
    /// The arguments of a call in the history are not JSON.
    ArgumentsNotJson,
    /// A tool that is declared wrongly.
    BadTool,
    /// A `response_format` that providers reject.
    BadResponseFormat,
    /// A schema that is declared strict but is not.
    LooseSchema,
    /// No rule of the scenario matches the request.
    Unscripted,
}

/// What has been found so far.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) violations: Vec<Violation>,
}

impl Found {
    pub(crate) fn add(&mut self, kind: ViolationKind, detail: impl Into<String>) {
        self.violations.push(Violation {
            kind,
            detail: detail.into(),
        });
    }
}
