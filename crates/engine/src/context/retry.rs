//! Retries while the database, or a hub that machines share, is unavailable. Only for calls that may be repeated.

use crate::context::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use domain::{Fence, RunId, TaskId};
use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};
use store::claim::Claimed;
use tokio_util::sync::CancellationToken;

/// The wait before the first retry; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An outage is waited for this long at most.
const OUTAGE_LIMIT: Duration = Duration::from_secs(1_800);

/// An error that may be an outage.
pub(crate) trait Outage {
    /// What is unavailable, if the same call may succeed later.
    fn outage(&self) -> Option<&'static str>;
}

impl Outage for store::Error {
    fn outage(&self) -> Option<&'static str> {
        self.is_transient().then_some("the database")
    }
}

impl Outage for git::GitError {
    fn outage(&self) -> Option<&'static str> {
        match self {
            Self::Upstream { .. } | Self::UpstreamLocked { .. } => self.outage(),
            _ => None,
        }
    }
}

impl Outage for git::SnapshotError {
    fn outage(&self) -> Option<&'static str> {
        match self {
            Self::Git(error) => error.outage(),
            Self::Refused(_) => None,
        }
    }
}

impl Outage for super::StepError {
    fn outage(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.outage(),
            Self::Refused(_) | Self::Unknown(_) => None,
        }
    }
}

/// How long outages are retried, and where that is shown.
pub(crate) struct RetryPolicy<'a> {
    stop: &'a CancellationToken,
    limit: Duration,
    shown_at: Option<(&'a Context, HeldTask)>,
}

/// A task that this process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldTask {
    pub(crate) run: RunId,
    pub(crate) task: TaskId,
    /// The fence of the claim.
    pub(crate) fence: Fence,
}

impl HeldTask {
    pub(crate) fn of(claimed: &Claimed) -> Self {
        Self {
            run: claimed.run,
            task: claimed.task,
            fence: claimed.fence,
        }
    }
}

impl<'a> RetryPolicy<'a> {
    /// Retries until `stop` is cancelled, or the outage takes too long.
    pub(crate) fn until(stop: &'a CancellationToken) -> Self {
        Self {
            stop,
            limit: OUTAGE_LIMIT,
            shown_at: None,
        }
    }

    /// Retries for less long, where another process may do better.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Shows at a task what it waits for.
    pub(crate) fn shown_at(self, context: &'a Context, task: HeldTask) -> Self {
        Self {
            shown_at: Some((context, task)),
            ..self
        }
    }

    /// Makes the call until it succeeds, fails for another reason, or must not be retried any more. Returns its last
    /// result.
    pub(crate) async fn run<T, E, Called>(self, call: impl FnMut() -> Called) -> Result<T, E>
    where
        E: Outage + Display,
        Called: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let mut is_shown = false;
        let done = self.retry(started, &mut is_shown, call).await;
        if let Some((context, task)) = self.shown_at.filter(|_| is_shown) {
            telemetry::task::blocked("outage", started.elapsed());
            context.show_blocked_on(task, None).await;
        }
        done
    }

    async fn retry<T, E, Called>(
        &self,
        started: Instant,
        is_shown: &mut bool,
        mut call: impl FnMut() -> Called,
    ) -> Result<T, E>
    where
        E: Outage + Display,
        Called: Future<Output = Result<T, E>>,
    {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .without_max_times()
            .build();
        loop {
            let error = match call().await {
                Err(error) if started.elapsed() < self.limit => error,
                done => return done,
            };
            let Some(what) = error.outage() else {
                return Err(error);
            };
            if let Some((context, task)) = self.shown_at {
                *is_shown = true;
                context.show_blocked_on(task, Some(what)).await;
            }
            let wait = waits.next().unwrap_or(LONGEST_WAIT);
            tracing::warn!(%error, retry_in_s = wait.as_secs_f64(), "Could not record the result: waiting for {what}");
            if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(error);
            }
        }
    }
}

impl Context {
    /// Shows at a task what it waits for; `None`: nothing. A failure is only logged.
    pub(crate) async fn show_blocked_on(&self, held: HeldTask, what: Option<&str>) {
        let HeldTask { run, task, fence } = held;
        match self.store.show_blocked_on(run, task, fence, what).await {
            Ok(true) => self.wake.progressed(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "Could not show what a task waits for"),
        }
    }
}
