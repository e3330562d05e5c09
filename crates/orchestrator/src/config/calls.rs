//! `[calls]`: timeouts, retries and limits of model calls.

use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// `[calls]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CallsSection {
    /// Seconds to connect.
    pub(crate) connect_s: NonZeroU32,
    /// Seconds until an answer starts.
    pub(crate) header_s: NonZeroU32,
    /// Seconds a stream may be silent; reasoning models can be for long.
    pub(crate) stream_idle_s: NonZeroU32,
    /// Seconds until an answer is complete.
    pub(crate) total_s: NonZeroU32,
    /// HTTP requests for one call, including the first.
    pub(crate) attempts: NonZeroU32,
    /// Most seconds between two of them, whatever the provider requests.
    pub(crate) wait_s: NonZeroU32,
    /// Seconds for all requests and waits of one call.
    pub(crate) call_s: NonZeroU32,
    /// Most bytes of an answer.
    pub(crate) answer_bytes: NonZeroU32,
    /// Most bytes of a line or an event of a stream.
    pub(crate) line_bytes: NonZeroU32,
}

/// Default of `answer_bytes`, as in the model layer.
const ANSWER_BYTES: NonZeroU32 = NonZeroU32::new(32 << 20).unwrap();
const LINE_BYTES: NonZeroU32 = NonZeroU32::new(4 << 20).unwrap();

impl Default for CallsSection {
    fn default() -> Self {
        let (timeouts, retries) = (llm::Timeouts::default(), llm::Retries::default());
        Self {
            connect_s: whole(timeouts.connect),
            header_s: whole(timeouts.header),
            stream_idle_s: whole(timeouts.stream_idle),
            total_s: whole(timeouts.total),
            attempts: NonZeroU32::new(retries.max_attempts).unwrap_or(NonZeroU32::MIN),
            wait_s: whole(retries.max_delay),
            call_s: whole(retries.total),
            answer_bytes: ANSWER_BYTES,
            line_bytes: LINE_BYTES,
        }
    }
}

impl CallsSection {
    /// Timeouts of the phases of a request.
    pub(crate) fn timeouts(&self) -> llm::Timeouts {
        llm::Timeouts {
            connect: seconds(self.connect_s),
            header: seconds(self.header_s),
            stream_idle: seconds(self.stream_idle_s),
            total: seconds(self.total_s),
        }
    }

    /// Retries of a request.
    pub(crate) fn retries(&self) -> llm::Retries {
        llm::Retries {
            max_attempts: self.attempts.get(),
            max_delay: seconds(self.wait_s),
            total: seconds(self.call_s),
            ..llm::Retries::default()
        }
    }
}

fn seconds(seconds: NonZeroU32) -> Duration {
    Duration::from_secs(seconds.get().into())
}

/// At least one second.
fn whole(duration: Duration) -> NonZeroU32 {
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_model_layer() {
        let section: CallsSection = toml::from_str("header_s = 5\n").unwrap();
        assert_eq!(section.timeouts().header, Duration::from_secs(5));
        let defaults = llm::Timeouts::default();
        assert_eq!(section.timeouts().total, defaults.total);
        assert_eq!(section.retries().max_attempts, llm::Retries::default().max_attempts);
        assert!(toml::from_str::<CallsSection>("attempts = 0\n").is_err());
    }
}
