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
/// A branch that does not come along rests twice as long each time, up to this.
const LONGEST_REST: Duration = Duration::from_secs(160);

/// Kept for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    begun: HashSet<MergeId>,
    resting: HashMap<RunId, Instant>,
    /// How long each of them rested the last time.
    rested: HashMap<RunId, Duration>,
    no_tasks_until: Option<Instant>,
}

impl Troubles {
    /// A merge is taken up; `true` for the first time in the life of this process: it is lives that are counted.
    pub(crate) fn begins(&self, merge: MergeId) -> bool {
        self.with(|inner| inner.begun.insert(merge))
    }

    /// A branch comes along.
    pub(crate) fn recovered(&self, run: RunId) {
        self.with(|inner| inner.rested.remove(&run));
    }

    /// A merge has ended.
    pub(crate) fn ended(&self, merge: MergeId) {
        self.with(|inner| {
            inner.begun.remove(&merge);
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
        self.with(|inner| {
            let rested = inner.rested.entry(run).or_insert(REST / 2);
            *rested = (*rested * 2).min(LONGEST_REST);
            let until = Instant::now() + *rested;
            inner.resting.insert(run, until);
        });
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
