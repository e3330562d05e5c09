//! Waits of an attempt for a slot of its provider. Meanwhile it releases its worker slot, and the task shows why it
//! does not continue.

use super::{Context, HeldTask, WorkerSlot};
use llm::{ModelRef, ProviderSlot};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Shorter waits are not shown: most calls wait for a moment when a provider is busy.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// The waits of one attempt.
pub(crate) struct ProviderWait {
    worker_slot: Arc<WorkerSlot>,
    /// The reason to show at the task.
    blocked_on: watch::Sender<Option<String>>,
    since: Mutex<Option<Instant>>,
    /// The provider's slot for the first call.
    first_slot: Mutex<Option<ProviderSlot>>,
}

impl ProviderWait {
    pub(crate) fn new(context: &Context, task: HeldTask, worker_slot: Arc<WorkerSlot>) -> Self {
        let (blocked_on, receiver) = watch::channel(None);
        context.under_way.spawn(show(context.clone(), task, receiver));
        Self {
            worker_slot,
            blocked_on,
            since: Mutex::new(None),
            first_slot: Mutex::new(None),
        }
    }

    /// Waits until the provider has a slot for the first call, and keeps it for that call.
    pub(crate) async fn acquire_first_slot(&self, models: &llm::Models, model: &ModelRef) -> Result<(), llm::Error> {
        loop {
            let slot = match models.try_slot(model)? {
                Some(slot) => slot,
                None => {
                    self.started(&model.provider);
                    let slot = models.slot(model).await?;
                    self.ended();
                    slot
                }
            };
            if self.worker_slot.try_acquire() {
                *lock(&self.first_slot) = Some(slot);
                return Ok(());
            }
            // Others use the provider's slot while this attempt waits for a worker slot.
            drop(slot);
            self.worker_slot.acquire().await;
        }
    }

    /// The slot for the first call, if it was not taken yet.
    pub(crate) fn take_first_slot(&self) -> Option<ProviderSlot> {
        lock(&self.first_slot).take()
    }

    /// The attempt waits from now on.
    pub(crate) fn started(&self, provider: &str) {
        self.worker_slot.release();
        lock(&self.since).get_or_insert_with(Instant::now);
        self.blocked_on
            .send_replace(Some(format!("a free slot of provider {provider}")));
    }

    /// The attempt has a slot of the provider.
    pub(crate) fn ended(&self) {
        if let Some(since) = lock(&self.since).take() {
            telemetry::task::blocked("slot", since.elapsed());
        }
        self.blocked_on.send_replace(None);
    }

    /// Waits until the attempt has its worker slot again.
    pub(crate) async fn reacquire_worker_slot(&self) {
        self.ended();
        self.worker_slot.acquire().await;
    }
}

/// Shows the latest reason at the task until the attempt ends.
async fn show(context: Context, task: HeldTask, mut blocked_on: watch::Receiver<Option<String>>) {
    let mut is_shown = false;
    while blocked_on.changed().await.is_ok() {
        let reason = blocked_on.borrow_and_update().clone();
        if reason.is_some() == is_shown {
            continue;
        }
        if reason.is_some() {
            let over = tokio::time::timeout(SHOWN_AFTER, blocked_on.wait_for(Option::is_none)).await;
            if over.is_ok() {
                continue;
            }
        }
        context.show_blocked_on(task, reason.as_deref()).await;
        is_shown = reason.is_some();
    }
    if is_shown {
        context.show_blocked_on(task, None).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
