//! Sandboxes and the worktrees kept warm for them.

use super::{Area, Declaration};
use crate::instrument::{Counter, Distribution, Level};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Sandboxes",
    metrics: &[&CREATION, &ACTIVE, &ACTIVE_TOTAL, &CACHE_HITS, &CACHE_MISSES],
};

pub(crate) static CREATION: Distribution = Distribution::new(
    Declaration::new(
        "sandbox.creation",
        "s",
        "sandbox_creation_seconds",
        "Time to make a sandbox with its worktree.",
    )
    .buckets(&[0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]),
);

pub(crate) static ACTIVE: Level = Level::new(Declaration::new(
    "active.sandboxes",
    "{sandbox}",
    "active_sandboxes",
    "Sandboxes in use.",
));

pub(crate) static ACTIVE_TOTAL: Level = Level::new(Declaration::new(
    "active.sandboxes.total",
    "{sandbox}",
    "active_sandboxes_total",
    "Sandboxes in use; a gauge, in spite of its suffix.",
));

pub(crate) static CACHE_HITS: Counter = Counter::new(Declaration::new(
    "sandbox.cache.hits",
    "{sandbox}",
    "sandbox_cache_hits_total",
    "Sandboxes that started on a warm worktree.",
));

pub(crate) static CACHE_MISSES: Counter = Counter::new(Declaration::new(
    "sandbox.cache.misses",
    "{sandbox}",
    "sandbox_cache_misses_total",
    "Sandboxes that needed a new worktree.",
));
