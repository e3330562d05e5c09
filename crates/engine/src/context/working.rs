//! The attempts that run in this process, and their worker slots.

use domain::{Fence, TaskId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Identifies an attempt. A task's next attempt may start while the last one still cleans up.
pub(crate) type Claim = (TaskId, Fence);

/// The running attempts. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Working {
    attempts: Arc<Mutex<HashMap<Claim, CancellationToken>>>,
    slots: Arc<Semaphore>,
}

/// The entry of a running attempt; removed when dropped, by a panic, too.
#[derive(Debug)]
pub(crate) struct Running {
    working: Working,
    claim: Claim,
    /// Ends the attempt.
    pub(crate) cancel: CancellationToken,
    /// Its worker slot.
    pub(crate) slot: Arc<WorkerSlot>,
}

/// One of the worker slots of this process. An attempt releases it while it waits for something else.
#[derive(Debug)]
pub(crate) struct WorkerSlot {
    slots: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Free worker slots that were taken for attempts to be claimed. Those without an attempt become free when dropped.
#[derive(Debug)]
pub(crate) struct FreeSlots {
    slots: Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Working {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            attempts: Arc::default(),
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Takes every free worker slot.
    pub(crate) fn take_free_slots(&self) -> FreeSlots {
        let permits = std::iter::from_fn(|| self.slots.clone().try_acquire_owned().ok());
        FreeSlots {
            permits: permits.collect(),
            slots: self.slots.clone(),
        }
    }

    /// Enters an attempt, which `cancel` ends.
    pub(crate) fn enter(&self, claim: Claim, cancel: CancellationToken, slot: WorkerSlot) -> Running {
        self.lock().insert(claim, cancel.clone());
        Running {
            working: self.clone(),
            claim,
            cancel,
            slot: Arc::new(slot),
        }
    }

    /// The claims of the running attempts.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.lock().keys().copied().collect()
    }

    /// Whether this attempt runs here.
    pub(crate) fn has(&self, claim: Claim) -> bool {
        self.lock().contains_key(&claim)
    }

    /// Stops one attempt.
    pub(crate) fn stop(&self, claim: Claim) {
        if let Some(cancel) = self.lock().get(&claim) {
            cancel.cancel();
        }
    }

    /// Stops every attempt at a task.
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

impl FreeSlots {
    pub(crate) fn count(&self) -> usize {
        self.permits.len()
    }

    /// One of them; without any left, a slot that is still to be acquired.
    pub(crate) fn take(&mut self) -> WorkerSlot {
        WorkerSlot {
            slots: self.slots.clone(),
            permit: Mutex::new(self.permits.pop()),
        }
    }
}

impl WorkerSlot {
    /// Lets others use the slot.
    pub(crate) fn release(&self) {
        drop(self.lock().take());
    }

    /// Whether the attempt has its slot again, without waiting.
    pub(crate) fn try_acquire(&self) -> bool {
        let mut permit = self.lock();
        if permit.is_none() {
            *permit = self.slots.clone().try_acquire_owned().ok();
        }
        permit.is_some()
    }

    /// Waits until the attempt has its slot again. Attempts that wait come before tasks that are not claimed yet.
    pub(crate) async fn acquire(&self) {
        if self.lock().is_some() {
            return;
        }
        if let Ok(permit) = self.slots.clone().acquire_owned().await {
            *self.lock() = Some(permit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.slot.release();
        self.working.lock().remove(&self.claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_that_ends_removes_only_its_own_entry() {
        let working = Working::new(2);
        let mut slots = working.take_free_slots();
        let first = working.enter((TaskId(1), Fence(1)), CancellationToken::new(), slots.take());
        let second = working.enter((TaskId(1), Fence(2)), CancellationToken::new(), slots.take());
        drop(first);
        assert_eq!(working.claims(), [(TaskId(1), Fence(2))]);
        working.stop_task(TaskId(1));
        assert!(second.cancel.is_cancelled());
        drop(second);
        assert_eq!(working.claims(), []);
        assert_eq!(working.take_free_slots().count(), 2);
    }

    #[tokio::test]
    async fn released_slot_is_free_for_others_until_it_is_acquired_again() {
        let working = Working::new(1);
        let first = working.take_free_slots().take();
        assert_eq!(working.take_free_slots().count(), 0);
        first.release();
        let second = working.take_free_slots().take();
        assert!(!first.try_acquire());
        let waiting = first.acquire();
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("there was no free slot"),
            () = std::future::ready(()) => {}
        }
        drop(second);
        assert_eq!(working.take_free_slots().count(), 0, "the waiting attempt comes first");
        waiting.await;
        assert!(first.try_acquire());
    }
}
