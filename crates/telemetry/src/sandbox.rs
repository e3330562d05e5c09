//! Events of sandboxes.

use crate::catalogue::sandboxes::{ACTIVE, ACTIVE_TOTAL, CACHE_HITS, CACHE_MISSES, CREATION, ENFORCED, LIMITS_REACHED};
use std::time::Duration;

/// A sandbox with its worktree was created in this time.
pub fn created(duration: Duration) {
    CREATION.observe(duration, []);
}

/// A sandbox in use, until this is dropped.
#[derive(Debug)]
#[must_use = "the sandbox counts as gone when this is dropped"]
pub struct SandboxActive(());

/// A sandbox came into use.
pub fn active() -> SandboxActive {
    change(1);
    SandboxActive(())
}

impl Drop for SandboxActive {
    fn drop(&mut self) {
        change(-1);
    }
}

fn change(by: i64) {
    ACTIVE.change(by, []);
    ACTIVE_TOTAL.change(by, []);
}

/// A sandbox started on a warm worktree.
pub fn cache_hit() {
    CACHE_HITS.add(1, []);
}

/// A sandbox needed a new worktree.
pub fn cache_miss() {
    CACHE_MISSES.add(1, []);
}

/// Whether a property is fully enforced on this host.
pub fn enforced(property: &str, is_enforced: bool) {
    ENFORCED.set(f64::from(u8::from(is_enforced)), [property]);
}

/// A command reached this limit.
pub fn limit_reached(limit: &str) {
    LIMITS_REACHED.add(1, [limit]);
}
