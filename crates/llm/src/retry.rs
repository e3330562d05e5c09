//! The retry policy: how long to wait between attempts, and when to stop.

use crate::{
    failure::{Failure, FailureKind},
    settings::Retries,
};
use std::time::{Duration, Instant};

/// The waits of one call: full jitter under a doubling ceiling, at most one fewer than attempts.
#[derive(Debug)]
pub(crate) struct FullJitter {
    ceiling: Duration,
    max_delay: Duration,
    left: u32,
}

impl FullJitter {
    pub(crate) fn new(retries: &Retries) -> Self {
        Self {
            ceiling: retries.base_delay,
            max_delay: retries.max_delay,
            left: retries.max_attempts.saturating_sub(1),
        }
    }
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let ceiling = self.ceiling.min(self.max_delay);
        self.ceiling = self.ceiling.saturating_mul(2);
        Some(ceiling.mul_f64(fastrand::f64()))
    }
}

/// Whether and when to try again after a failure.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) deadline: Instant,
    pub(crate) max_delay: Duration,
    pub(crate) max_garbage: u32,
    pub(crate) garbage: u32,
}

impl RetryPolicy {
    /// The wait before the next attempt. `jitter` is the default wait, `None` after the last attempt. The provider's
    /// `Retry-After` takes precedence, with some jitter so that many callers don't return at once.
    pub(crate) fn wait(&mut self, failure: &Failure, jitter: Option<Duration>) -> Option<Duration> {
        let jitter = jitter?;
        if matches!(failure.kind, FailureKind::Garbage(_)) {
            self.garbage += 1;
            if self.garbage >= self.max_garbage {
                return None;
            }
        }
        let wait = match failure.retry_after {
            Some(requested) => requested
                .saturating_add((requested / 10).min(jitter))
                .min(self.max_delay),
            None => jitter,
        };
        (Instant::now() + wait < self.deadline).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            deadline: Instant::now() + Duration::from_secs(30),
            max_delay: Duration::from_secs(10),
            max_garbage: 2,
            garbage: 0,
        }
    }

    fn limited(retry_after: Option<Duration>) -> Failure {
        Failure {
            retry_after,
            ..Failure::refused(FailureKind::RateLimited("slow down".into()))
        }
    }

    #[test]
    fn waits_stay_under_a_doubling_ceiling() {
        let retries = Retries {
            max_attempts: 6,
            max_delay: Duration::from_secs(2),
            ..Retries::default()
        };
        let waits: Vec<_> = FullJitter::new(&retries).collect();
        assert_eq!(waits.len(), 5);
        for (wait, ceiling) in waits.iter().zip([0.5, 1.0, 2.0, 2.0, 2.0]) {
            assert!(wait.as_secs_f64() <= ceiling, "{waits:?}");
        }
    }

    #[test]
    fn retry_after_is_honoured_but_capped() {
        let jitter = Some(Duration::from_millis(50));
        let wish = policy().wait(&limited(Some(Duration::from_secs(3))), jitter).unwrap();
        assert!(
            (Duration::from_secs(3)..=Duration::from_millis(3_050)).contains(&wish),
            "{wish:?}"
        );
        let capped = policy().wait(&limited(Some(Duration::from_secs(3_600))), jitter);
        assert_eq!(capped, Some(Duration::from_secs(10)));
    }

    #[test]
    fn no_wait_exceeds_the_deadline() {
        let mut hurried = RetryPolicy {
            deadline: Instant::now() + Duration::from_secs(1),
            ..policy()
        };
        assert_eq!(
            hurried.wait(&limited(Some(Duration::from_secs(2))), Some(Duration::ZERO)),
            None
        );
    }

    #[test]
    fn unreadable_answers_are_retried_a_limited_number_of_times() {
        let garbage = Failure::accepted(FailureKind::Garbage("x".into()));
        let mut policy = policy();
        assert!(policy.wait(&garbage, Some(Duration::ZERO)).is_some());
        assert!(policy.wait(&garbage, Some(Duration::ZERO)).is_none());
    }
}
