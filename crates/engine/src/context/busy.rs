//! Effects and merges that run in this process.

use domain::RunId;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Effects and merges that run here.
#[derive(Clone, Default)]
pub(crate) struct Busy {
    inner: Arc<Mutex<UnderWay>>,
    /// Held while merges are claimed, and by whoever must know that none is for a moment.
    claiming: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct UnderWay {
    effects: HashSet<i64>,
    merging: HashSet<RunId>,
}

/// One of them; over when this is dropped, by a panic, too.
pub(crate) struct Performing {
    busy: Busy,
    what: What,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    Effect(i64),
    Merging(RunId),
}

impl Busy {
    /// The runs whose branches are merged onto here. None is added while the guard is held.
    pub(crate) async fn merging(&self) -> (Vec<RunId>, tokio::sync::MutexGuard<'_, ()>) {
        let claiming = self.claiming.lock().await;
        let merging = self.with(|under_way| under_way.merging.iter().copied().collect());
        (merging, claiming)
    }

    /// The effects that are performed here.
    pub(crate) fn effects(&self) -> Vec<i64> {
        self.with(|under_way| under_way.effects.iter().copied().collect())
    }

    fn with<T>(&self, look: impl FnOnce(&mut UnderWay) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that one begins.
    pub(crate) fn enter(&self, what: What) -> Performing {
        self.with(|under_way| match what {
            What::Effect(effect) => under_way.effects.insert(effect),
            What::Merging(run) => under_way.merging.insert(run),
        });
        Performing {
            busy: self.clone(),
            what,
        }
    }
}

impl Drop for Performing {
    fn drop(&mut self) {
        self.busy.with(|under_way| match self.what {
            What::Effect(effect) => under_way.effects.remove(&effect),
            What::Merging(run) => under_way.merging.remove(&run),
        });
    }
}
