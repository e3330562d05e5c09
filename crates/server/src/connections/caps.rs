//! Limits of connections and of their time.

use super::descriptors::Descriptors;
use crate::Settings;
use std::time::Duration;

/// The lowest limit of connections.
const FEWEST: usize = 8;

/// Limits of connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The most open connections.
    pub total: usize,
    /// The most open connections of one address.
    pub per_address: usize,
    /// The most event streams.
    pub streams: usize,
    /// The most concurrent requests.
    pub requests: usize,
}

impl Caps {
    /// The limits of the settings, lowered to the available descriptors. At least a quarter of the connections have neither
    /// a stream nor a request, so that one can always be closed for a new one.
    pub fn new(settings: &Settings, descriptors: Descriptors) -> Self {
        let total = settings.connections.min(descriptors.for_connections()).max(FEWEST);
        Self {
            total,
            per_address: settings.connections_per_address.clamp(1, total),
            streams: settings.streams.min(total / 2),
            requests: settings.requests.min(total / 4).max(1),
        }
    }
}

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the whole header of a request.
    pub(crate) header: Duration,
    /// Between two requests, or for the client to read the response.
    pub(crate) idle: Duration,
}
