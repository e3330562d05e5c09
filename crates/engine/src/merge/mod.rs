//! The merger of a branch: works its queue off under the branch's lease.
//!
//! Entries are brought together ([`bring`]), their conflicts resolved ([`resolve`]), verified ([`gate`]) and landed
//! ([`land`]), several at a time where that saves waiting ([`train`]). The compare-and-swap of the ref is the safety;
//! lease and fence give order and liveness. No transaction is open across any of it.

mod bring;
mod build_caches;
mod entry;
mod gate;
mod gates;
mod integrity;
mod land;
mod lock;
mod person;
mod ran;
mod resolve;
mod train;
mod tries;

pub(crate) use gates::Gates;
pub(crate) use lock::BranchLock;
pub(crate) use person::{resolution, versions};

use crate::context::{Context, Outage, StepError, TipError};
use domain::RunId;
use std::{sync::Arc, time::Duration};

/// How long a shared hub is waited for with a verdict in hand, which would have to be found anew.
const VERDICT_RETRY_LIMIT: Duration = Duration::from_secs(60);
/// After so many failures in a row the branch is left to other processes for a while: what ails this one may not ail
/// them.
const FAILURES_IN_A_ROW: u32 = 3;
/// How many processes may end under a merge: beyond that it is what ends them.
const BEGINNINGS: u32 = 20;
/// The wait before a second try; it doubles with each, up to the longest. An intended landing is tried for good.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a merge did not come to an end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What it needs is away: the database, a shared hub, room on the disk. It waits for as long as the run has time.
    #[error("{error}")]
    Outage {
        /// What, in a few words.
        of: &'static str,
        error: String,
    },
    /// It may pass: a lock file, a machine that is busy. It is tried so often ([`tries`]).
    #[error("{0}")]
    Transient(String),
    /// The same, counted against its entry already.
    #[error("{0}")]
    Counted(String),
    /// It was taken out of the queue, or this process no longer holds the lease.
    #[error("the merge is no longer this merger's")]
    NotOurs,
    /// The process is being stopped; the next goes on.
    #[error("the process is being stopped")]
    Stopped,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match error.outage() {
            Some(of) => Self::Outage {
                of,
                error: error.to_string(),
            },
            None => Self::Transient(error.to_string()),
        }
    }
}

impl From<git::GitError> for Failure {
    fn from(error: git::GitError) -> Self {
        match error.outage() {
            Some(of) => Self::Outage {
                of,
                error: error.to_string(),
            },
            None => Self::Transient(error.to_string()),
        }
    }
}

impl From<TipError> for Failure {
    fn from(error: TipError) -> Self {
        match error {
            TipError::Store(error) => error.into(),
            TipError::Git(error) => error.into(),
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Store(error) => error.into(),
            StepError::Refused(_) | StepError::Unknown(_) => Self::NotOurs,
        }
    }
}

/// Works a branch's queue until it is empty, then gives the lease back.
pub(crate) async fn work_queue(context: &Context, gates: &Gates, run: RunId, lock: BranchLock) {
    let lock = Arc::new(lock);
    let held = telemetry::merge::lock_taken(lock.lease().name());
    let drain = &context.drain;
    let mut failures = 0u32;
    // An earlier holder of the lock may have left it shown.
    let mut may_show_outage = true;
    let mut train = None;
    while !drain.is_cancelled() {
        match advance(&mut train, context, gates, run, &lock).await {
            Ok(Turn::Went) => {
                if std::mem::take(&mut may_show_outage) {
                    tries::show_outage(context, run, None).await;
                }
                failures = 0;
                context.pauses.reset_branch(run);
            }
            Ok(Turn::Waited) => {}
            Ok(Turn::Empty) | Err(Failure::Stopped) => break,
            Err(Failure::NotOurs) => {
                // Should it be offered to us again at once, it is not at once refused again.
                drain.run_until_cancelled(tokio::time::sleep(FIRST_WAIT)).await;
                break;
            }
            Err(failure @ (Failure::Outage { .. } | Failure::Transient(_) | Failure::Counted(_))) => {
                tracing::warn!(%run, error = %failure, "a merge failed; it is tried again");
                match &failure {
                    Failure::Outage { of, .. } => {
                        may_show_outage = true;
                        tries::show_outage(context, run, Some(of)).await;
                    }
                    Failure::Transient(why) => tries::count_against_first(context, run, &lock, why).await,
                    Failure::Counted(_) | Failure::NotOurs | Failure::Stopped => {}
                }
                failures += 1;
                if failures > FAILURES_IN_A_ROW {
                    context.pauses.pause_branch(run);
                    break;
                }
                let wait = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
                drain.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
    if let Some(train) = train {
        train.put_down().await;
    }
    drop(held);
    lock.release(context).await;
}

/// What a turn of the merger came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// An entry came to its end, or further.
    Went,
    /// Nothing is to be done before something else has happened.
    Waited,
    /// The queue is empty.
    Empty,
}

/// One turn of the merger.
async fn advance(
    train: &mut Option<train::Train>,
    context: &Context,
    gates: &Gates,
    run: RunId,
    lock: &Arc<BranchLock>,
) -> Result<Turn, Failure> {
    match train {
        Some(train) => train.turn().await,
        None => {
            // Also when it can't begin: entries that are gone, because their run has ended, are waited for by nobody.
            let level_s = context.settings.priority_level.as_secs_f64();
            if context.store.merge_queue(run, level_s, 1).await?.is_empty() {
                return Ok(Turn::Empty);
            }
            *train = Some(train::Train::begin(context, gates, run, lock).await?);
            Ok(Turn::Waited)
        }
    }
}
