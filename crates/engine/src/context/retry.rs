//! Waiting for a database, or a hub that machines share, that can't be reached: what was done must be written down, so
//! it is said again until it is. Only for what may be said twice.

use crate::context::Context;
use domain::{Fence, RunId, TaskId};
use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use store::claim::Claimed;
use tokio_util::sync::CancellationToken;

/// The wait before saying it again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After this long it is given up.
const OUTAGE_LIMIT: Duration = Duration::from_secs(1_800);

/// A failure that may be one of contact alone.
pub(crate) trait Outage {
    /// What is out of reach, where the same call may succeed when it is made again.
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

/// Makes the call until it succeeds, fails for good, or is stopped: then its last error is returned.
pub(crate) async fn retry_outages<T, E, Called>(stop: &CancellationToken, call: impl FnMut() -> Called) -> Result<T, E>
where
    E: Outage + std::fmt::Display,
    Called: Future<Output = Result<T, E>>,
{
    retry_for(OUTAGE_LIMIT, stop, call).await
}

/// Whose waiting is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) run: RunId,
    pub(crate) task: TaskId,
    /// Under which it is held.
    pub(crate) fence: Fence,
}

impl Waiting {
    pub(crate) fn of(claimed: &Claimed) -> Self {
        Self {
            run: claimed.run,
            task: claimed.task,
            fence: claimed.fence,
        }
    }
}

impl Context {
    /// [`retry_outages`], with what is waited for shown at the task.
    pub(crate) async fn retry_outages_shown<T, E, Called>(
        &self,
        waiting: Waiting,
        stop: &CancellationToken,
        mut call: impl FnMut() -> Called,
    ) -> Result<T, E>
    where
        E: Outage + std::fmt::Display,
        Called: Future<Output = Result<T, E>>,
    {
        let is_shown = AtomicBool::new(false);
        let begun = Instant::now();
        let done = retry_outages(stop, || {
            let call = call();
            async {
                let done = call.await;
                if let Some(what) = done.as_ref().err().and_then(Outage::outage) {
                    is_shown.store(true, Ordering::Relaxed);
                    self.show_blocked_on(waiting, Some(what)).await;
                }
                done
            }
        });
        let done = done.await;
        if is_shown.into_inner() {
            telemetry::task::blocked("outage", begun.elapsed());
            self.show_blocked_on(waiting, None).await;
        }
        done
    }

    /// Shows at a task what is away that it waits for, or that nothing is any more, as well as it goes.
    pub(crate) async fn show_blocked_on(&self, waiting: Waiting, what: Option<&str>) {
        let Waiting { run, task, fence } = waiting;
        match self.store.show_blocked_on(run, task, fence, what).await {
            Ok(true) => self.wake.told(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "what a task waits for is not shown"),
        }
    }
}

/// The same for less long: where others wait who may be better placed.
pub(crate) async fn retry_for<T, E, Called>(
    limit: Duration,
    stop: &CancellationToken,
    mut call: impl FnMut() -> Called,
) -> Result<T, E>
where
    E: Outage + std::fmt::Display,
    Called: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        let done = call().await;
        let error = match done {
            Err(error) if begun.elapsed() < limit => error,
            done => return done,
        };
        let Some(what) = error.outage() else {
            return Err(error);
        };
        tracing::warn!(%error, retry_in_s = wait.as_secs_f64(), "waiting for {what}, to record what was done");
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Err(error);
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
