//! What a request can come back with instead of an answer.

use crate::Problem;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one.
    #[error("{address} is not the address of a server ({problem}); it looks like http://127.0.0.1:8000")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answers, or the connection broke.
    #[error("the server at {address} can't be reached: {}", root_cause(source))]
    Unreachable {
        /// The server.
        address: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The server refused, and said why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not one of this interface.
    #[error(
        "{address} answered with status {status}, and not as an orchestrator does; is it one, of this version? {detail}"
    )]
    Unexpected {
        /// The server.
        address: String,
        /// The status.
        status: u16,
        /// What it said.
        detail: String,
    },
}

/// The innermost error tells what happened; those around it say that sending a request failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl ClientError {
    /// The server's own problem, if it is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Address { .. } | Self::Unreachable { .. } | Self::Unexpected { .. } => None,
        }
    }
}
