//! Waiting for a database, or a hub that machines share, that can't be reached: what was done must be written down, so
//! it is said again until it is. Only for what may be said twice.

use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The wait before saying it again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After this long it is given up.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A failure that may be one of contact alone.
pub(crate) trait MayPass {
    /// Whether the same call may succeed when it is made again.
    fn may_pass(&self) -> bool;
}

impl MayPass for store::Error {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

impl MayPass for git::GitError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Upstream { .. } | Self::UpstreamLocked { .. })
    }
}

impl MayPass for git::SnapshotError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Git(error) => error.may_pass(),
            Self::Refused(_) => false,
        }
    }
}

impl MayPass for crate::step::StepError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Refused(_) | Self::Unknown(_) => false,
        }
    }
}

/// Makes the call until it succeeds, fails for good, or is stopped: then its last error is returned.
pub(crate) async fn patiently<T, E, Called>(stop: &CancellationToken, call: impl FnMut() -> Called) -> Result<T, E>
where
    E: MayPass + std::fmt::Display,
    Called: Future<Output = Result<T, E>>,
{
    patiently_for(PATIENCE, stop, call).await
}

/// The same for less long: where others wait who may be better placed.
pub(crate) async fn patiently_for<T, E, Called>(
    patience: Duration,
    stop: &CancellationToken,
    mut call: impl FnMut() -> Called,
) -> Result<T, E>
where
    E: MayPass + std::fmt::Display,
    Called: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        let error = match call().await {
            Err(error) if error.may_pass() && begun.elapsed() < patience => error,
            done => return done,
        };
        tracing::warn!(%error, "what was done could not be written down; it is tried again");
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Err(error);
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
