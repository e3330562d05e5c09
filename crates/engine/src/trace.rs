//! The parents of spans. A run's trace outlives the process, so ids are stored or derived, never kept in memory.

use domain::{TaskId, task::AttemptEnd};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};
use store::claim::Claimed;
use telemetry::{
    TraceContext,
    span::{self, SpanKind},
};

/// The context of a run's root span, as it is stored with the run.
pub(crate) fn of_run(stored: &serde_json::Value) -> TraceContext {
    // A damaged row loses its trace, not its work.
    serde_json::from_value(stored.clone()).unwrap_or_else(|_| TraceContext::generate())
}

/// The context of a task's span, the same in every process: it is emitted once, when the task ends, and its
/// attempts and merges name it as their parent long before.
pub(crate) fn of_task(run: &TraceContext, task: TaskId) -> TraceContext {
    derived(run, &[task.0])
}

/// The context of an attempt's span, emitted once, when the attempt ends: its turns may be of several processes,
/// and the merge of its work points to it.
pub(crate) fn of_attempt(run: &TraceContext, task: TaskId, attempt: u32) -> TraceContext {
    derived(run, &[task.0, i64::from(attempt)])
}

fn derived(run: &TraceContext, path: &[i64]) -> TraceContext {
    let mut hash = Sha256::new();
    hash.update(run.trace_id.to_be_bytes());
    path.iter().for_each(|part| hash.update(part.to_be_bytes()));
    let digest = hash.finalize();
    let mut span = [0; 8];
    span.copy_from_slice(&digest[..8]);
    // Zero means "no span" on the wire.
    TraceContext {
        trace_id: run.trace_id,
        span_id: u64::from_be_bytes(span).max(1),
    }
}

/// Emits the span of an ended attempt. A released attempt continues in another process.
pub(crate) fn attempt_ended(stored: &serde_json::Value, claimed: &Claimed, started: SystemTime, end: &AttemptEnd) {
    let error = match end {
        AttemptEnd::Released => return,
        AttemptEnd::Submitted { .. } | AttemptEnd::Unchanged => None,
        AttemptEnd::Failed { reason } | AttemptEnd::Unrecoverable { reason } => Some(reason.code.as_str()),
    };
    let run = of_run(stored);
    let own = of_attempt(&run, claimed.task, claimed.attempt);
    let kind = SpanKind::Agent {
        profile: &claimed.profile,
        attempt: claimed.attempt,
    };
    span::late(&own, &of_task(&run, claimed.task), kind).finish(started, SystemTime::now(), error);
}

/// A time from the database.
pub(crate) fn at(unix_s: f64) -> SystemTime {
    let since = Duration::try_from_secs_f64(unix_s.max(0.0)).unwrap_or_default();
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or_else(SystemTime::now)
}
