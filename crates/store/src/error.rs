//! Why a query failed.

use std::fmt;

/// A failed query, or a stored value that this version can't read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is gone, restarting or too busy. A retry may succeed.
    #[error("the database could not be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The transaction conflicted with another one. A retry succeeds.
    #[error("the database rolled a transaction back in favour of another: {0}")]
    Conflict(#[source] sqlx::Error),
    /// The database has no disk space left.
    #[error("the database has no disk space left; free some, and the work goes on: {0}")]
    Full(#[source] sqlx::Error),
    /// A table or column is missing: the schema is another version's.
    #[error(
        "the schema of the database is not the one of this version: {0}\n  start the server of this version once to update it: orchestrator serve"
    )]
    Schema(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// A stored name is not one that this version writes.
    #[error("the database holds {value:?} in {column}, which this version does not know; a newer version wrote it")]
    Corrupt {
        /// Table and column.
        column: &'static str,
        /// The value.
        value: String,
    },
    /// A value can't be decoded from its column, or encoded for it.
    #[error("{column} can't be read or written: {source}")]
    Encoding {
        /// Table and column, or the row.
        column: &'static str,
        /// The failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A stored name that this version does not know.
    pub(crate) fn corrupt(column: &'static str, value: &(impl fmt::Display + ?Sized)) -> Self {
        Self::Corrupt {
            column,
            value: value.to_string(),
        }
    }

    /// A value that can't be decoded or encoded.
    pub(crate) fn encoding(column: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Encoding {
            column,
            source: Box::new(source),
        }
    }

    /// Whether a retry of the same call may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Conflict(_) | Self::Full(_) => true,
            Self::Schema(_) | Self::Refused(_) | Self::Corrupt { .. } | Self::Encoding { .. } => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(refusal) => refusal.code(),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                return Self::encoding("a row", error);
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
            // A table, a column or a function is missing.
            Some("42P01" | "42703" | "42883") => Self::Schema(error),
            Some(code) if code.starts_with("40") => Self::Conflict(error),
            Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Self::Unreachable(error),
            Some(_) | None => Self::Refused(error),
        }
    }
}
