//! Deleting data of finished runs.

use domain::RunId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The most days that can be asked for.
pub const CLEAN_DAYS: u32 = 36_500;

/// What to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CleanRequest {
    /// Whether to report only what would be deleted.
    pub dry_run: bool,
    /// Delete data of runs that ended at least so many days ago; by default `retention.days`.
    #[schema(minimum = 0, maximum = 36500)]
    pub older_than_days: Option<u32>,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanResult {
    /// Whether nothing was deleted.
    pub dry_run: bool,
    /// The finished runs.
    pub runs: Vec<CleanedRun>,
    /// Build caches that the gates of a workspace shared.
    pub caches: Vec<CleanedCache>,
    /// References deleted from hubs.
    pub references: u64,
    /// Unreferenced objects deleted from hubs.
    pub objects: u64,
    /// Bytes freed in each part of the data directory.
    pub freed: Vec<DiskArea>,
    /// Bytes of unreferenced objects in hubs that are deleted later, once they are six hours old.
    pub pending_bytes: u64,
}

/// A run whose data was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanedRun {
    /// The run's id.
    #[schema(value_type = String, format = Uuid)]
    pub run: RunId,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// Whether its trees were deleted too; otherwise only its outputs.
    pub trees: bool,
    /// References deleted from its hub.
    pub references: u64,
    /// Bytes of the objects that only these references kept, at least.
    pub hub_bytes: u64,
    /// Bytes of its outputs.
    pub output_bytes: u64,
}

/// A build cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanedCache {
    /// The name of its directory, the same as that of the workspace's hub.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A part of the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskArea {
    /// The part: `hubs`, `worktrees`, `outputs`, `cache` or `postgres`.
    pub area: String,
    /// Its size on disk in bytes.
    pub bytes: u64,
}
