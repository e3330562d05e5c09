//! `[retention]`: how long and how much data of finished runs is kept.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[retention]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionSection {
    /// Days to keep trees and outputs of finished runs; 0 keeps them for ever.
    pub(crate) days: u32,
    /// Most bytes of the data directory; without it there is no bound.
    pub(crate) bytes: Option<u64>,
    /// Seconds between two measurements of the data directory.
    pub(crate) measure_s: u64,
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self {
            days: 30,
            bytes: None,
            measure_s: 600,
        }
    }
}

impl RetentionSection {
    /// The time they are kept; `None` for ever.
    pub(crate) fn kept(&self) -> Option<Duration> {
        let days = Duration::from_secs(u64::from(self.days) * 86_400);
        (!days.is_zero()).then_some(days)
    }

    /// Rejects zeros, which no run could work with.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.bytes == Some(0) {
            return Err(Failure::configuration("retention.bytes must be at least 1")
                .with("found", 0)
                .hint("leave it out for no bound"));
        }
        if self.measure_s == 0 {
            return Err(Failure::configuration("retention.measure_s must be at least 1").with("found", 0));
        }
        Ok(())
    }
}
