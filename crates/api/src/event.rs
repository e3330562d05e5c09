//! The events of a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The kind of the stream's last message, which is not an event of the run.
pub const END_OF_EVENTS: &str = "end";

/// An event of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number within the run, from 1 without gaps; also the `id` of the stream's message.
    pub seq: i64,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Its kind; also the `event` of the stream's message.
    pub kind: String,
    /// The key of the task; null for an event of the run.
    pub task: Option<String>,
    /// The event in full, with its `kind`.
    pub data: Value,
}

impl Event {
    /// The event as a type, where this version knows its kind.
    pub fn known(&self) -> Option<domain::event::Event> {
        serde_json::from_value(self.data.clone()).ok()
    }
}
