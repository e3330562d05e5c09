//! Sandboxes and the worktrees kept warm for them.

use super::{Area, Declaration};
use crate::{
    instrument::{Counter, Distribution, Gauge, Level},
    label::Label,
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "Sandboxes",
    metrics: &[
        &CREATION,
        &ACTIVE,
        &ACTIVE_TOTAL,
        &CACHE_HITS,
        &CACHE_MISSES,
        &ENFORCED,
        &LIMITS_REACHED,
    ],
};

pub(crate) static CREATION: Distribution = Distribution::new(
    Declaration::new(
        "sandbox.creation",
        "s",
        "sandbox_creation_seconds",
        "Time to create a sandbox with its worktree.",
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
    "Sandboxes in use; a gauge despite its suffix.",
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

pub(crate) static ENFORCED: Gauge<1> = Gauge::new(
    Declaration::new(
        "sandbox.enforced",
        "{property}",
        "sandbox_enforced",
        "Whether a property of the sandbox is fully enforced on this host: 1 or 0.",
    )
    .labels(&[Label::fixed(
        "property",
        &[
            "user",
            "capabilities",
            "namespaces",
            "network",
            "nested_namespaces",
            "files",
            "kernel_settings",
            "system_calls",
            "landlock",
            "out_of_memory_order",
            "memory",
            "total_memory",
            "processes",
            "cpu_weight",
            "file_size",
            "temporary_files",
            "worktree",
            "disk_floor",
        ],
    )])
    .absent_at_start(),
);

pub(crate) static LIMITS_REACHED: Counter<1> = Counter::new(
    Declaration::new(
        "sandbox.limits.reached",
        "{command}",
        "sandbox_limits_reached_total",
        "Commands that reached a sandbox limit; each was killed for it, except for `processes`.",
    )
    .labels(&[Label::fixed(
        "limit",
        &[
            "memory",
            "total_memory",
            "machine_memory",
            "processes",
            "worktree_bytes",
            "worktree_files",
            "worktree_depth",
            "disk_floor",
        ],
    )]),
);
