//! Why a merge did not come to an end.

use crate::context::{Outage, StepError, TipError};

/// The error behind a failure.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a merge did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Something it needs is unavailable: the database, a shared hub, disk space. It waits as long as the run has time.
    #[error("{source}")]
    Outage {
        /// What is unavailable, in a few words.
        of: &'static str,
        source: Source,
    },
    /// It may be transient: a lock file, a busy machine. Retries are limited ([`retries`](super::retries)).
    #[error("{0}")]
    Transient(#[source] Source),
    /// The same, already counted against its entry.
    #[error("{0}")]
    Counted(#[source] Source),
    /// The entry was taken out of the queue, or this process lost the lease.
    #[error("the merge no longer belongs to this process")]
    NotOurs,
    /// The process is stopping; the next one continues.
    #[error("the process is stopping")]
    Stopped,
}

impl Failure {
    /// A transient failure.
    pub(super) fn transient(error: impl Into<Source>) -> Self {
        Self::Transient(error.into())
    }

    /// An outage, where something is unavailable, else a transient failure.
    fn new(outage: Option<&'static str>, error: impl Into<Source>) -> Self {
        let source = error.into();
        match outage {
            Some(of) => Self::Outage { of, source },
            None => Self::Transient(source),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::new(error.outage(), error)
    }
}

impl From<git::GitError> for Failure {
    fn from(error: git::GitError) -> Self {
        Self::new(error.outage(), error)
    }
}

impl From<TipError> for Failure {
    fn from(error: TipError) -> Self {
        match error {
            TipError::Store(error) => error.into(),
            TipError::Git(error) => error.into(),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Store(error) => error.into(),
            StepError::Refused(_) | StepError::Unknown(_) => Self::NotOurs,
        }
    }
}
