//! Whether the server is there, and whether it can work.

use crate::DiskArea;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The server is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
    /// The version of the product.
    pub version: String,
}

/// Whether the server can work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it can.
    pub ready: bool,
    /// Whether the database answers.
    pub database: bool,
    /// The sandbox that workers run in, in words.
    pub sandbox: String,
    /// What holds commands of workers back, and whether it is enforced on this host.
    pub sandbox_enforcement: Vec<SandboxProperty>,
    /// Whether the server is being stopped.
    pub draining: bool,
    /// Kinds of effects that wait for a newer version of the server: this one does not know them, and leaves them
    /// alone.
    #[serde(default)]
    pub unknown_effects: Vec<String>,
    /// Where it keeps its data.
    pub data_dir: String,
    /// Bytes its disk has free; null where the system does not tell.
    pub disk_free_bytes: Option<u64>,
    /// Bytes below which nothing new is begun (`engine.disk_floor_bytes`).
    pub disk_floor_bytes: u64,
    /// Bytes over which nothing new is begun (`retention.bytes`); null for no bound.
    pub disk_bound_bytes: Option<u64>,
    /// Bytes of each part of the data directory, when it was last measured.
    pub disk_areas: Vec<DiskArea>,
    /// When that was; null before the first time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disk_measured_at: Option<OffsetDateTime>,
    /// Why nothing new is begun, and the way out, where the disk is the reason.
    pub disk_lack: Option<String>,
}

/// One property of the sandbox on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxProperty {
    /// Its name, such as `memory` or `network`.
    pub property: String,
    /// `enforced`, `partly`, `not_enforced` or `not_known`.
    pub state: String,
    /// By what and with which value, in words.
    pub detail: String,
    /// What to do about it, where something can be done.
    pub advice: Option<String>,
}
