//! An entry of the queue that this process works on.

use super::{MAX_STARTS, branch::Branch, end::Ended};
use crate::trace;
use domain::run::ReasonCode;
use std::{sync::Arc, time::Duration};
use store::merge::{Hold, QueuedMerge};
use telemetry::{
    TraceContext,
    queue::EffectRunning,
    span::{self, SpanGuard, SpanKind},
};

/// An entry of the queue. Its gate shares it.
pub(super) struct Entry {
    pub(super) branch: Branch,
    pub(super) merge: QueuedMerge,
    pub(super) trace: TraceContext,
}

/// An entry that this process merges, with the time it has taken so far.
pub(super) struct ActiveMerge {
    pub(super) entry: Arc<Entry>,
    /// Time spent merging, resolving and landing.
    pub(super) worked: Duration,
    pub(super) span: SpanGuard,
    pub(super) metered: EffectRunning,
}

impl ActiveMerge {
    /// Starts on an entry: its wait is over.
    pub(super) fn start(branch: &Branch, merge: QueuedMerge) -> Self {
        let span = start_span(branch, &merge);
        let entry = Entry {
            branch: branch.clone(),
            trace: span.context(),
            merge,
        };
        Self {
            entry: Arc::new(entry),
            worked: Duration::ZERO,
            span,
            metered: telemetry::queue::started("merge"),
        }
    }

    /// Counts a transient failure.
    pub(super) fn failed(&mut self) {
        std::mem::replace(&mut self.metered, telemetry::queue::started("merge")).failed();
        telemetry::queue::retried("merge");
    }

    /// Leaves it to the next turn, or to the next process.
    pub(super) fn release(mut self) {
        self.span.fail("put_down");
    }

    /// Ends an entry that too many processes crashed on.
    pub(super) fn poison(&self) -> Option<Ended> {
        (self.entry.merge.claims >= MAX_STARTS && !self.entry.merge.intended).then(|| {
            let message = format!("{MAX_STARTS} processes started this merge and crashed during it");
            Ended::error(ReasonCode::Poison, message, false)
        })
    }
}

impl Entry {
    /// The merge and the lease that every write about it names.
    pub(super) fn hold(&self) -> Hold<'_> {
        Hold {
            merge: self.merge.id,
            lease: self.branch.lock.lease(),
        }
    }
}

/// The span of a merge. At the first try it starts when the work was queued: the wait is part of it.
fn start_span(branch: &Branch, merge: &QueuedMerge) -> SpanGuard {
    let run = trace::of_run(&branch.details.trace);
    let (task, kind) = (trace::of_task(&run, merge.task), SpanKind::Merge { merge: merge.id });
    let mut span = if merge.claims == 0 {
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
