//! What this process leaves to other processes, or tries again later.

use domain::{MergeId, RunId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The pause for a branch after a merge that failed here, and for all tasks after one that could not start here.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The pause for a branch doubles each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(160);

/// The pauses of this process, and the merges it has started. In memory only: a restart starts afresh.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    started_merges: HashSet<MergeId>,
    branches_until: HashMap<RunId, Instant>,
    /// The length of each branch's latest pause.
    latest: HashMap<RunId, Duration>,
    tasks_until: Option<Instant>,
}

impl Pauses {
    /// Notes that a merge starts. `true` for the first time in this process: starts are counted per process.
    pub(crate) fn merge_started(&self, merge: MergeId) -> bool {
        self.with(|inner| inner.started_merges.insert(merge))
    }

    /// Notes that a merge has ended.
    pub(crate) fn merge_ended(&self, merge: MergeId) {
        self.with(|inner| {
            inner.started_merges.remove(&merge);
        });
    }

    /// Leaves a branch to other processes for a while.
    pub(crate) fn pause_branch(&self, run: RunId) {
        self.with(|inner| {
            let pause = inner.latest.entry(run).or_insert(FIRST_PAUSE / 2);
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            let until = Instant::now() + *pause;
            inner.branches_until.insert(run, until);
        });
    }

    /// Resets the pauses of a branch whose merges succeed again.
    pub(crate) fn reset_branch(&self, run: RunId) {
        self.with(|inner| inner.latest.remove(&run));
    }

    /// The branches that are paused now.
    pub(crate) fn paused_branches(&self) -> Vec<RunId> {
        let now = Instant::now();
        self.with(|inner| {
            inner.branches_until.retain(|_, until| *until > now);
            inner.branches_until.keys().copied().collect()
        })
    }

    /// Leaves tasks to other processes for a while: one could not start, for a reason that is this process's.
    pub(crate) fn pause_tasks(&self) {
        self.with(|inner| inner.tasks_until = Some(Instant::now() + FIRST_PAUSE));
    }

    /// Whether tasks are left to other processes now.
    pub(crate) fn are_tasks_paused(&self) -> bool {
        self.with(|inner| inner.tasks_until.is_some_and(|until| until > Instant::now()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
