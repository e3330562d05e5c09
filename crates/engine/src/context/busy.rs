//! The effects and merges that run in this process.

use domain::RunId;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The effects and merges that run in this process. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Busy {
    inner: Arc<Mutex<Entries>>,
    /// Held while merges are claimed, and by a caller that must exclude that.
    claiming: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Entries {
    effects: HashSet<i64>,
    merging: HashSet<RunId>,
}

/// The entry of a running effect or merge; removed when dropped, by a panic, too.
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
    /// The runs with a merge here. None is added while the guard is held.
    pub(crate) async fn merging(&self) -> (Vec<RunId>, tokio::sync::MutexGuard<'_, ()>) {
        let claiming = self.claiming.lock().await;
        let merging = self.with(|entries| entries.merging.iter().copied().collect());
        (merging, claiming)
    }

    /// The effects that run here.
    pub(crate) fn effects(&self) -> Vec<i64> {
        self.with(|entries| entries.effects.iter().copied().collect())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Entries) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Enters an effect or a merge.
    pub(crate) fn enter(&self, what: What) -> Performing {
        self.with(|entries| match what {
            What::Effect(effect) => entries.effects.insert(effect),
            What::Merging(run) => entries.merging.insert(run),
        });
        Performing {
            busy: self.clone(),
            what,
        }
    }
}

impl Drop for Performing {
    fn drop(&mut self) {
        self.busy.with(|entries| match self.what {
            What::Effect(effect) => entries.effects.remove(&effect),
            What::Merging(run) => entries.merging.remove(&run),
        });
    }
}
