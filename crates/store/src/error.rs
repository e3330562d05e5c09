//! What a query can fail with.

use std::fmt;

/// A query failed, or brought something that can't be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be asked: it is gone, restarting or too busy. Trying again may help.
    #[error("the database could not be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// Another transaction got in the way. Trying again helps.
    #[error("the database undid a transaction in favour of another: {0}")]
    Conflict(#[source] sqlx::Error),
    /// The database has no room left to write.
    #[error("the database has no disk space left; free some, and the work goes on: {0}")]
    Full(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// A stored value is not one that this version writes.
    #[error(
        "the database holds {value:?} in {column}, which this version does not know; was it written by a newer one?"
    )]
    Corrupt {
        /// Table and column.
        column: &'static str,
        /// What was found, or what is wrong with it.
        value: String,
    },
}

impl Error {
    /// A stored value that can't be read.
    pub(crate) fn corrupt(column: &'static str, value: &(impl fmt::Display + ?Sized)) -> Self {
        Self::Corrupt {
            column,
            value: value.to_string(),
        }
    }

    /// Whether the same call may succeed when it is made again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Conflict(_) | Self::Full(_) => true,
            Self::Refused(_) | Self::Corrupt { .. } => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(refusal) => refusal.code(),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                return Self::corrupt("a column", &error);
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => return Self::Unreachable(error),
            _ => return Self::Refused(error),
        };
        // The classes of https://www.postgresql.org/docs/current/errcodes-appendix.html
        match code.as_deref() {
            Some("53100") => Self::Full(error),
            Some(code) if code.starts_with("40") => Self::Conflict(error),
            Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Self::Unreachable(error),
            Some(_) | None => Self::Refused(error),
        }
    }
}
