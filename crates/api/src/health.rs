//! Health and readiness of the server.

use crate::DiskArea;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The health of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
    /// The version of the product.
    pub version: String,
}

/// The readiness of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it can take and process runs.
    pub ready: bool,
    /// Whether the database answers.
    pub database: bool,
    /// The sandbox for worker commands, in words.
    pub sandbox: String,
    /// The sandbox's restrictions, and whether this host enforces them.
    pub sandbox_enforcement: Vec<SandboxProperty>,
    /// Whether the server is stopping.
    pub draining: bool,
    /// Kinds of effects that wait for a newer version of the server.
    #[serde(default)]
    pub unknown_effects: Vec<String>,
    /// The data directory.
    pub data_dir: String,
    /// Free bytes on its disk; null where unknown.
    pub disk_free_bytes: Option<u64>,
    /// Free bytes below which no new work starts (`engine.disk_floor_bytes`).
    pub disk_floor_bytes: u64,
    /// Bytes of the data directory above which no new work starts (`retention.bytes`); null without a limit.
    pub disk_limit_bytes: Option<u64>,
    /// Bytes of each part of the data directory, as last measured.
    pub disk_areas: Vec<DiskArea>,
    /// When they were measured; null before the first time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disk_measured_at: Option<OffsetDateTime>,
    /// Why no new work starts, and what to do, where the disk is the reason.
    pub disk_problem: Option<String>,
}

/// A restriction of the sandbox on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxProperty {
    /// Its name, such as `memory` or `network`.
    pub property: String,
    /// `enforced`, `partly`, `not_enforced` or `not_known`.
    pub state: String,
    /// By which mechanism and with which value, in words.
    pub detail: String,
    /// What to do to enforce it.
    pub advice: Option<String>,
}
