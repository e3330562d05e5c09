//! The merge queue of a branch. Read it in this order:
//!
//! 1. [`work_queue`], below: works through a run's queue while this process holds the branch's lock ([`lock`]).
//! 2. [`train`]: the first entries of the queue, built on top of each other, with their gates side by side. Its
//!    [`Decision`](train::Decision) is the one place that decides what comes next.
//! 3. [`build`]: merges an [`entry`] onto a commit and makes a merge commit.
//! 4. [`resolve`]: resolves conflicts, file by file and layer by layer; [`person`] is the last layer.
//! 5. [`gate`]: runs the check command on the merge commit; [`integrity`] finds what weakens it.
//! 6. [`land`]: writes the intent, moves the branch, records the end.
//!
//! [`record`] and [`branch`] write every step down, [`retries`] limits failures. The compare-and-swap of the reference
//! makes landing safe; lease and fence give order and progress. No transaction stays open across a step.

mod branch;
mod build;
mod build_caches;
mod end;
mod entry;
mod failure;
mod gate;
mod gates;
mod integrity;
mod land;
mod lock;
mod person;
mod record;
mod resolve;
mod retries;
mod totals;
mod train;

pub(crate) use gates::Gates;
pub(crate) use lock::BranchLock;
pub(crate) use person::{resolution, versions};

use crate::context::Context;
use domain::RunId;
use failure::Failure;
use std::{sync::Arc, time::Duration};
use train::Train;

/// How long a verdict waits for a shared hub. Afterwards its tree would have to be judged again.
const VERDICT_RETRY_LIMIT: Duration = Duration::from_secs(60);
/// After more failures in a row the branch is left to other processes for a while: they may not have the same problem.
const MAX_FAILURES_IN_A_ROW: u32 = 3;
/// How many processes may crash during one merge before it is rejected as poison.
const MAX_STARTS: u32 = 20;
/// The wait after a failure; it doubles with each one in a row.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// The result of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// An entry ended, or moved on.
    Advanced,
    /// Nothing can be done until something else happens.
    Waited,
    /// The queue is empty.
    Empty,
}

/// Works through a branch's queue until it is empty, then releases the lock.
pub(crate) async fn work_queue(context: &Context, gates: &Gates, run: RunId, lock: BranchLock) {
    let lock = Arc::new(lock);
    let held = telemetry::merge::lock_taken(lock.lease().name());
    let mut train = None;
    let mut failures = 0u32;
    // An earlier holder of the lock may have shown an outage.
    let mut may_show_outage = true;
    while !context.drain.is_cancelled() {
        match turn(&mut train, context, gates, run, &lock).await {
            Ok(Turn::Advanced) => {
                if std::mem::take(&mut may_show_outage) {
                    retries::show_outage(context, run, None).await;
                }
                failures = 0;
                context.pauses.reset_branch(run);
            }
            Ok(Turn::Waited) => {}
            Ok(Turn::Empty) | Err(Failure::Stopped) => break,
            Err(Failure::NotOurs) => {
                // Without a wait, the scheduler could offer the branch again at once.
                pause(context, RETRY_WAIT).await;
                break;
            }
            Err(failure @ (Failure::Outage { .. } | Failure::Transient(_) | Failure::Counted(_))) => {
                may_show_outage |= matches!(failure, Failure::Outage { .. });
                retries::record(context, run, &lock, failure).await;
                failures += 1;
                if failures > MAX_FAILURES_IN_A_ROW {
                    context.pauses.pause_branch(run);
                    break;
                }
                pause(context, RETRY_WAIT * (1 << failures)).await;
            }
        }
    }
    if let Some(train) = train {
        train.release().await;
    }
    drop(held);
    lock.release(context).await;
}

/// One turn: the train's, after one that starts it.
async fn turn(
    train: &mut Option<Train>,
    context: &Context,
    gates: &Gates,
    run: RunId,
    lock: &Arc<BranchLock>,
) -> Result<Turn, Failure> {
    if let Some(train) = train {
        return train.turn().await;
    }
    // Checked first: when the run has ended and its entries are gone, a train that can't start is not waited for.
    let level_s = context.settings.priority_level.as_secs_f64();
    if context.store.merge_queue(run, level_s, 1).await?.is_empty() {
        return Ok(Turn::Empty);
    }
    *train = Some(Train::start(context, gates, run, lock).await?);
    Ok(Turn::Waited)
}

/// Waits, or less long when the process stops.
async fn pause(context: &Context, wait: Duration) {
    context.drain.run_until_cancelled(tokio::time::sleep(wait)).await;
}
