//! What this process remembers of what does not come along here, so that it is left to others, or tried in time.

use domain::{MergeId, RunId};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a branch that could not be merged onto from here, and any task after one that could not be begun, is left to
/// others.
const REST: Duration = Duration::from_secs(10);

/// Kept for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    begun: HashSet<MergeId>,
    failing: HashMap<MergeId, Instant>,
    resting: HashMap<RunId, Instant>,
    no_tasks_until: Option<Instant>,
}

impl Troubles {
    /// A merge is taken up; `true` for the first time in the life of this process: it is lives that are counted.
    pub(crate) fn begins(&self, merge: MergeId) -> bool {
        self.with(|inner| inner.begun.insert(merge))
    }

    /// A merge failed for a reason that may pass: since when it does.
    pub(crate) fn fails(&self, merge: MergeId) -> Duration {
        self.with(|inner| inner.failing.entry(merge).or_insert_with(Instant::now).elapsed())
    }

    /// A merge that failed came further after all.
    pub(crate) fn recovered(&self, merge: MergeId) {
        self.with(|inner| inner.failing.remove(&merge));
    }

    /// A merge has ended.
    pub(crate) fn ended(&self, merge: MergeId) {
        self.with(|inner| {
            inner.begun.remove(&merge);
            inner.failing.remove(&merge);
        });
    }

    /// A task could not be begun, for a reason that is this process's: others may be better placed.
    pub(crate) fn rest_from_tasks(&self) {
        self.with(|inner| inner.no_tasks_until = Some(Instant::now() + REST));
    }

    /// Whether tasks are left to others now.
    pub(crate) fn rests_from_tasks(&self) -> bool {
        self.with(|inner| inner.no_tasks_until.is_some_and(|until| until > Instant::now()))
    }

    /// A branch is left to other processes for a while.
    pub(crate) fn rest(&self, run: RunId) {
        self.with(|inner| inner.resting.insert(run, Instant::now() + REST));
    }

    /// The branches that are.
    pub(crate) fn resting(&self) -> Vec<RunId> {
        let now = Instant::now();
        self.with(|inner| {
            inner.resting.retain(|_, until| *until > now);
            inner.resting.keys().copied().collect()
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
