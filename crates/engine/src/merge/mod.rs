//! The merger of a branch: takes the queue in order, one entry at a time, under the branch's lease.
//!
//! Bring together ([`bring`]), resolve ([`resolve`]), verify ([`gate`]), land ([`land`]). The compare-and-swap of
//! the ref is the safety; lease and fence give order and liveness. No transaction is open across any of it.

mod bring;
mod counts;
mod gate;
mod land;
mod resolve;

pub(crate) use gate::RedBase;

use crate::{
    engine::Engine,
    step::{self, StepError},
    trace,
};
use domain::{
    Fence, RunId,
    event::{Event, Fact},
    merge::{MergeEnd, MergeState},
    run::{Reason, ReasonCode},
};
use git::Hub;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{merge::QueuedMerge, run::RunFacts};
use telemetry::{
    TraceContext,
    merge::MergeResult,
    span::{self, SpanGuard, SpanKind},
};

/// How often a merge is tried whose failure may pass by itself.
const TRIES: u32 = 5;
/// The wait before the second of them; it doubles with each, up to the longest. An intended landing is tried for good.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a merge did not come to an end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It may pass: a busy disk, a lock file, a database that is restarting.
    #[error("{0}")]
    Passing(String),
    /// It was taken out of the queue, or this process no longer holds the lease.
    #[error("the merge is no longer this merger's")]
    NotOurs,
    /// The process is being stopped; the next goes on.
    #[error("the process is being stopped")]
    Stopped,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<git::GitError> for Failure {
    fn from(error: git::GitError) -> Self {
        Self::Passing(error.to_string())
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

/// How a merge ended, with what its task's next attempt is to be told.
struct Ended {
    end: MergeEnd,
    feedback: Option<Value>,
    conflicted: bool,
}

impl Ended {
    fn landed(commit: domain::CommitId, conflicted: bool) -> Self {
        Self {
            end: MergeEnd::Landed { commit },
            feedback: None,
            conflicted,
        }
    }

    fn error(code: ReasonCode, message: impl Into<String>, conflicted: bool) -> Self {
        let message = telemetry::secrets::redact(&message.into());
        Self {
            end: MergeEnd::Error {
                reason: Reason::new(code, message),
            },
            feedback: None,
            conflicted,
        }
    }
}

/// One entry on its way through, and the lease it is merged under.
struct Merger<'a> {
    engine: &'a Engine,
    facts: &'a RunFacts,
    hub: Arc<Hub>,
    merge: QueuedMerge,
    lease: &'a str,
    fence: Fence,
    trace: TraceContext,
    /// Time spent in the gate: not part of the merge's own duration.
    gate_time: Duration,
}

/// Works a branch's queue until it is empty, then gives the lease back.
pub(crate) async fn work_queue(engine: &Engine, run: RunId, lease: &str, fence: Fence) {
    let held = telemetry::merge::lock_taken(lease);
    let mut tries: HashMap<domain::MergeId, u32> = HashMap::new();
    let mut failures = 0u32;
    while !engine.parts.drain.is_cancelled() {
        let metered = match engine.parts.store.next_merge(run).await {
            Ok(None) => break,
            Ok(Some(merge)) => {
                let count = tries.entry(merge.id).and_modify(|count| *count += 1).or_insert(1);
                let metered = telemetry::queue::started("merge");
                match work_one(engine, run, lease, fence, merge, *count).await {
                    Ok(()) => Ok(metered),
                    Err(failure) => Err((failure, metered)),
                }
            }
            Err(error) => Err((error.into(), telemetry::queue::started("merge"))),
        };
        match metered {
            Ok(metered) => {
                failures = 0;
                metered.succeeded();
            }
            Err((Failure::NotOurs, _)) => {
                // Should it be offered to us again at once, it is not at once refused again.
                engine
                    .parts
                    .drain
                    .run_until_cancelled(tokio::time::sleep(FIRST_WAIT))
                    .await;
                break;
            }
            Err((Failure::Stopped, _)) => break,
            Err((failure @ Failure::Passing(_), metered)) => {
                metered.failed();
                tracing::warn!(%run, error = %failure, "a merge failed; it is tried again");
                failures += 1;
                let wait = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
                engine.parts.drain.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
    drop(held);
    if let Err(error) = engine.parts.store.drop_lease(lease, fence).await {
        tracing::warn!(%error, lease, "a lease could not be given back; this process takes it anew when there is work");
    }
}

async fn work_one(
    engine: &Engine,
    run: RunId,
    lease: &str,
    fence: Fence,
    merge: QueuedMerge,
    tries: u32,
) -> Result<(), Failure> {
    let facts = engine.parts.store.run_facts(run).await?.ok_or(Failure::NotOurs)?;
    let hub = engine.parts.hub(&facts.hub).await?;
    let mut span = begin_span(&facts, &merge, tries);
    let mut merger = Merger {
        engine,
        facts: &facts,
        hub,
        merge,
        lease,
        fence,
        trace: span.context(),
        gate_time: Duration::ZERO,
    };
    let started = Instant::now();
    let ended = match merger.bring_in().await {
        Err(Failure::Passing(error)) if tries >= TRIES && !merger.merge.intended => {
            let message = format!("the merge failed {tries} times, the last time with: {error}");
            Ok(Ended::error(ReasonCode::Internal, message, false))
        }
        other => other,
    };
    let ended = ended.inspect_err(|_| {
        span.fail("put_down");
    })?;
    if let MergeEnd::Error { reason } | MergeEnd::Rejected { reason } = &ended.end {
        span.fail(reason.code.as_str());
    }
    merger.finish(ended, started.elapsed()).await
}

/// The span of a merge. At its first try it goes back to when the work was queued: the wait is a part of it.
fn begin_span(facts: &RunFacts, merge: &QueuedMerge, tries: u32) -> SpanGuard {
    let run = trace::of_run(&facts.trace);
    let (task, kind) = (trace::of_task(&run, merge.task), SpanKind::Merge { merge: merge.id });
    let mut span = if tries == 1 {
        let waited = Duration::from_millis(merge.waited_ms.max(0) as u64);
        telemetry::merge::lock_waited(waited);
        let queued = trace::at(merge.queued_unix_s);
        let span = span::child_since(&task, kind, queued);
        drop(span::child_since(&span.context(), SpanKind::LockWait, queued));
        span
    } else {
        telemetry::queue::retried("merge");
        span::child(&task, kind)
    };
    span.link(&trace::of_attempt(&run, merge.task, merge.attempt));
    span
}

impl Merger<'_> {
    /// Says that the merge moved on. Fails when it is no longer ours: then nothing more may be done.
    async fn enter(&self, state: MergeState, conflicts: Vec<String>) -> Result<(), Failure> {
        let mut tx = self.engine.parts.store.begin().await?;
        tx.lock_run(self.facts.id).await?.ok_or(Failure::NotOurs)?;
        if !tx.move_merge(self.merge.id, self.lease, self.fence, state).await? {
            return Err(Failure::NotOurs);
        }
        let fact = Fact::MergeMoved {
            merge: self.merge.id,
            state,
            conflicts,
        };
        tx.append(self.facts.id, &[(Some(self.merge.task), fact)]).await?;
        tx.commit().await?;
        self.engine.parts.wake.committed();
        Ok(())
    }

    async fn log(&self, fact: Fact) -> Result<(), Failure> {
        self.engine
            .parts
            .store
            .append(self.facts.id, &[(Some(self.merge.task), fact)])
            .await?;
        self.engine.parts.wake.committed();
        Ok(())
    }

    /// Records the end in one transaction: the merge, the task, its dependents, the log.
    async fn finish(&self, ended: Ended, took: Duration) -> Result<(), Failure> {
        let own = took.saturating_sub(self.gate_time);
        let (merge, task) = (self.merge.id, self.merge.task);
        let event = Event::MergeEnded {
            merge,
            end: ended.end.clone(),
        };
        let mut tx = self.engine.parts.store.begin().await?;
        let applied = step::apply(&mut tx, self.facts.id, Some(task), event).await?;
        if !tx
            .end_merge(merge, self.lease, self.fence, &ended.end, own.as_millis() as i64)
            .await?
        {
            return Err(Failure::NotOurs);
        }
        if let MergeEnd::Landed { commit } = &ended.end {
            tx.save_landed(task, commit).await?;
        }
        if let Some(feedback) = &ended.feedback {
            tx.save_feedback(task, feedback).await?;
        }
        tx.commit().await?;
        self.engine.applied(&applied);
        let result = match &ended.end {
            MergeEnd::Error { .. } => MergeResult::Error,
            MergeEnd::Landed { .. } | MergeEnd::Rejected { .. } if ended.conflicted => MergeResult::Conflict,
            MergeEnd::Landed { .. } | MergeEnd::Rejected { .. } => MergeResult::Success,
        };
        telemetry::merge::finished(result, own);
        Ok(())
    }

    /// Sends the work back to its worker, with what it is to be told.
    fn rejected(&self, code: ReasonCode, message: String, told: Value, conflicted: bool) -> Ended {
        let message = telemetry::secrets::redact(&message);
        let mut feedback = json!({ "attempt": self.merge.attempt, "reason": message });
        if let (Some(feedback), Value::Object(told)) = (feedback.as_object_mut(), told) {
            feedback.extend(told);
        }
        Ended {
            end: MergeEnd::Rejected {
                reason: Reason::new(code, message),
            },
            feedback: Some(feedback),
            conflicted,
        }
    }
}
