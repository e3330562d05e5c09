//! Integrity flags.

use crate::schema;
use domain::integrity::IntegrityFlagKind;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A change in a merge that weakens the check command, or that other programs execute by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntegrityFlag {
    /// The kind of change.
    #[schema(schema_with = schema::integrity_flag_kind)]
    pub kind: IntegrityFlagKind,
    /// The file; null where the flag is about the whole merge.
    pub path: Option<String>,
    /// What was found, in a sentence.
    pub detail: String,
    /// The merge's number.
    pub merge: i64,
    /// The task.
    pub task: String,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}
