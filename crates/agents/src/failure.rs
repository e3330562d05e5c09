//! What a failed model call means for the work that needed it.

use domain::run::{Reason, ReasonCode};
use llm::{Error, Refusal, TimeoutKind};

/// How to go on after a call that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing may be asked any more, for a reason that is known elsewhere: cancelled, drained, fenced off.
    Stopped,
    /// Asking again can't help: no budget, no key, no such provider.
    Final(Reason),
    /// The model said nothing that can be used.
    Unusable(String),
    /// The conversation does not fit into the model's window.
    TooLong(String),
    /// It may go better another time.
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
            // Cut answers were asked for again often enough; telling the model of it mends no connection.
            Error::Timeout { .. }
            | Error::Truncated { .. }
            | Error::RateLimited { .. }
            | Error::ContentFilter { .. }
            | Error::BadRequest { .. }
            | Error::Server { .. }
            | Error::Unreachable { .. } => Self::Transient(reason(ReasonCode::Model)),
        }
    }

    /// The failure as a reason, for those who do not ask again.
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Self::Stopped => Reason::new(ReasonCode::Asked, "the run was stopped"),
            Self::Final(reason) | Self::Transient(reason) => reason,
            Self::Unusable(text) | Self::TooLong(text) => Reason::new(ReasonCode::Model, text),
        }
    }
}
