//! The attempts that run in this process, each with the way to stop it.

use domain::{Fence, TaskId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// An attempt, by what its writes name. A task's next attempt may begin while its last one still tidies up.
pub(crate) type Claim = (TaskId, Fence);

/// The attempts that run here. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Working {
    attempts: Arc<Mutex<HashMap<Claim, CancellationToken>>>,
}

/// An attempt's place among them; left when this is dropped, by a panic, too.
#[derive(Debug)]
pub(crate) struct Place {
    working: Working,
    claim: Claim,
    /// Ends the attempt.
    pub(crate) cancel: CancellationToken,
}

impl Working {
    /// Enters an attempt, which `cancel` ends.
    pub(crate) fn enter(&self, claim: Claim, cancel: CancellationToken) -> Place {
        self.lock().insert(claim, cancel.clone());
        Place {
            working: self.clone(),
            claim,
            cancel,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Which they are.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.lock().keys().copied().collect()
    }

    /// Whether this one is among them.
    pub(crate) fn has(&self, claim: Claim) -> bool {
        self.lock().contains_key(&claim)
    }

    /// Stops one attempt.
    pub(crate) fn stop(&self, claim: Claim) {
        if let Some(cancel) = self.lock().get(&claim) {
            cancel.cancel();
        }
    }

    /// Stops whatever is at work on a task.
    pub(crate) fn stop_task(&self, task: TaskId) {
        self.lock()
            .iter()
            .filter(|((own, _), _)| *own == task)
            .for_each(|(_, cancel)| cancel.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Claim, CancellationToken>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.working.lock().remove(&self.claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_leaves_takes_only_its_own_place() {
        let working = Working::default();
        let first = working.enter((TaskId(1), Fence(1)), CancellationToken::new());
        let second = working.enter((TaskId(1), Fence(2)), CancellationToken::new());
        drop(first);
        assert_eq!(working.claims(), [(TaskId(1), Fence(2))]);
        working.stop_task(TaskId(1));
        assert!(second.cancel.is_cancelled());
        drop(second);
        assert_eq!(working.count(), 0);
    }
}
