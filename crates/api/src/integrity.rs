//! Integrity flags.

use crate::schema;
use domain::integrity::IntegrityFlagKind;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// What a merge brought that weakens what decides about it, or that runs by itself elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IntegrityFlag {
    /// What it is about.
    #[schema(schema_with = schema::integrity_flag_kind)]
    pub kind: IntegrityFlagKind,
    /// The file; null where it is about the merge as a whole.
    pub path: Option<String>,
    /// What was found, in a sentence.
    pub detail: String,
    /// Which merge.
    pub merge: i64,
    /// Whose work.
    pub task: String,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}
