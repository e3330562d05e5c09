//! Giving up what ended runs left.

use domain::RunId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// More days than anything is kept.
pub const CLEAN_DAYS: u32 = 36_500;

/// What is to be given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CleanAsked {
    /// Whether it is only told what would go.
    pub dry_run: bool,
    /// Days since their end after which runs are given up; as configured (`retention.days`) where it is not set.
    #[schema(minimum = 0, maximum = 36500)]
    pub older_than_days: Option<u32>,
}

/// What was given up, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleaned {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What ended runs left.
    pub runs: Vec<CleanedRun>,
    /// Build output that the gates of a workspace shared.
    pub caches: Vec<CleanedCache>,
    /// References in hubs.
    pub references: u64,
    /// Objects in hubs that nothing named.
    pub objects: u64,
    /// Bytes that came free in each part of the data directory.
    pub freed: Vec<DiskArea>,
    /// Bytes in hubs that nothing names any more, and that come free by themselves once they are six hours old.
    pub later_bytes: u64,
}

/// What a run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanedRun {
    /// Which run.
    #[schema(value_type = String, format = Uuid)]
    pub run: RunId,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// Whether its trees went too; otherwise its outputs alone.
    pub trees: bool,
    /// References in its hub.
    pub references: u64,
    /// Bytes of the objects that these alone kept, at least.
    pub hub_bytes: u64,
    /// Bytes of its outputs.
    pub output_bytes: u64,
}

/// A build cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CleanedCache {
    /// Its directory's name: that of the workspace's hub.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A part of the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskArea {
    /// `hubs`, `worktrees`, `outputs`, `cache`, `postgres`
    pub area: String,
    /// Its bytes on the disk.
    pub bytes: u64,
}
