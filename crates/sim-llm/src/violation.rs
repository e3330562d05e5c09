//! The rules that a request can break, and where one breaks them.

use serde::{Deserialize, Serialize};

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which rule it breaks.
    pub kind: ViolationKind,
    /// Where and how, in words.
    pub detail: String,
}

/// The rules that a request can break.
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
    /// The first message is not the system's.
    FirstNotSystem,
    /// A message without content where it needs some.
    EmptyMessage,
    /// A tool call in the history without id, name or arguments, or with an id twice.
    BadToolCall,
    /// A tool call of the assistant that no tool message answers in its place.
    UnansweredCall,
    /// A tool message that answers no open call.
    UnexpectedToolMessage,
    /// The history calls a tool that the request does not offer.
    UnknownTool,
    /// The arguments of a call in the history are not JSON.
    ArgumentsNotJson,
    /// A tool that is declared wrongly.
    BadTool,
    /// A `response_format` that providers refuse.
    BadResponseFormat,
    /// A schema that claims to be strict and is not.
    LooseSchema,
    /// The scenario has no rule for the request.
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
