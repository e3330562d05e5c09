//! Classifies failed model calls.

use domain::run::{Reason, ReasonCode};
use llm::{Error, Refusal, TimeoutKind};

/// How to continue after a call without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The work was cancelled, drained or fenced off; the reason is recorded elsewhere.
    Stopped,
    /// A retry can't succeed: no budget, no key, no such provider.
    Final(Reason),
    /// The answer can't be used.
    Unusable(String),
    /// The conversation exceeds the model's context window.
    TooLong(String),
    /// A later attempt may succeed.
    Transient(Reason),
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        let text = error.to_string();
        let reason = |code| Reason::new(code, text.clone());
        match error {
            Error::Refused { refusal, .. } => match refusal {
                Refusal::Budget { .. } | Refusal::Unpriced { .. } => Self::Final(reason(ReasonCode::Budget)),
                Refusal::Stopped(_) => Self::Stopped,
                Refusal::Store(_) => Self::Transient(reason(ReasonCode::Internal)),
            },
            Error::UnknownProvider { .. }
            | Error::MissingKey { .. }
            | Error::Settings { .. }
            | Error::Prices(_)
            | Error::Auth { .. }
            | Error::Quota { .. } => Self::Final(reason(ReasonCode::Model)),
            Error::ContextLength { .. } => Self::TooLong(text),
            Error::Garbage { .. } | Error::Invalid { .. } => Self::Unusable(text),
            Error::Timeout {
                kind: TimeoutKind::Deadline,
                ..
            } => Self::Transient(reason(ReasonCode::Limit)),
            // Truncated answers were retried already; a note to the model does not repair a connection.
            Error::Timeout { .. }
            | Error::Truncated { .. }
            | Error::RateLimited { .. }
            | Error::ContentFilter { .. }
            | Error::BadRequest { .. }
            | Error::Server { .. }
            | Error::Unreachable { .. } => Self::Transient(reason(ReasonCode::Model)),
        }
    }

    /// The failure as a reason, for callers that do not retry.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Self::Stopped => Reason::new(ReasonCode::Requested, "the run was stopped"),
            Self::Final(reason) | Self::Transient(reason) => reason,
            Self::Unusable(text) | Self::TooLong(text) => Reason::new(ReasonCode::Model, text),
        }
    }
}
