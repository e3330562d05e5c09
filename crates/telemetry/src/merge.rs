//! Events of merges.

use crate::catalogue::merges::{
    ACTIVE, CONFLICT_RESOLUTIONS, DURATION, GATE_DURATION, GATE_FLAKY, GATE_RUNS, INTEGRITY_FLAGS, LOCK_VIOLATIONS,
    LOCK_WAIT, MERGES, QUEUE_LENGTH, WAITING,
};
use domain::integrity::IntegrityFlagKind;
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

/// The result of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeResult {
    /// There was no conflict.
    Success,
    /// There was a conflict, resolved or not; [`conflict_resolved`] records its result.
    Conflict,
    /// It failed for another reason.
    Error,
}

impl MergeResult {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Conflict => "conflict",
            Self::Error => "error",
        }
    }
}

/// The gate's verdict on a merged tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateResult {
    /// The check command passed.
    Passed,
    /// The check command failed.
    Failed,
    /// The check command could not be run, which is never a pass.
    CouldNotRun,
    /// There is no check command: the tree is unchecked.
    NotConfigured,
}

impl GateResult {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::CouldNotRun => "could_not_run",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// This many merges wait or run, according to the database.
pub fn queue_length(merges: i64) {
    QUEUE_LENGTH.set(merges as f64, []);
}

/// This many merges wait for a person, according to the database.
pub fn waiting(merges: i64) {
    WAITING.set(merges as f64, []);
}

/// A merge waited this long from queued to acquiring the lock.
pub fn lock_waited(waited: Duration) {
    LOCK_WAIT.observe(waited, []);
}

/// The number of holders per lock, by the lock's name. It should never exceed one.
static HOLDERS: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);

/// A held merge lock; dropping this releases it.
#[derive(Debug)]
#[must_use = "the lock counts as released when this is dropped"]
pub struct LockHeld {
    lock: String,
}

/// The merge lock of a target was acquired; its name never becomes a label. A second holder of the same lock counts as a
/// violation.
pub fn lock_taken(lock: &str) -> LockHeld {
    let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = holders.entry(lock.to_owned()).or_default();
    *count += 1;
    if *count > 1 {
        LOCK_VIOLATIONS.add(1, []);
    }
    show_most_holders(&holders);
    LockHeld { lock: lock.to_owned() }
}

impl Drop for LockHeld {
    fn drop(&mut self) {
        let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = holders.get_mut(&self.lock) {
            *count -= 1;
        }
        holders.retain(|_, count| *count > 0);
        show_most_holders(&holders);
    }
}

fn show_most_holders(holders: &HashMap<String, u32>) {
    ACTIVE.set(f64::from(holders.values().copied().max().unwrap_or_default()), []);
}

/// A merge ended. Called once per merge, with the duration of merging, resolving and landing, without the gate.
pub fn finished(result: MergeResult, duration: Duration) {
    MERGES.add(1, [result.as_str()]);
    DURATION.observe(duration, []);
}

/// A layer handled a conflict. `strategy` is `generated`, `remembered`, `driver`, `model`, `worker` or `person`;
/// `result` is `resolved`, `declined` or `failed`.
pub fn conflict_resolved(strategy: &'static str, result: &'static str) {
    CONFLICT_RESOLUTIONS.add(1, [strategy, result]);
}

/// Tests failed in one run of the check and passed in another, on the same merged tree.
pub fn gate_flaky() {
    GATE_FLAKY.add(1, []);
}

/// An integrity flag was recorded. Called once per flag.
pub fn flagged(kind: IntegrityFlagKind) {
    INTEGRITY_FLAGS.add(1, [kind.as_str()]);
}

/// The gate gave its verdict. Without a check command nothing ran, so no duration is recorded.
pub fn gate_finished(result: GateResult, duration: Duration) {
    GATE_RUNS.add(1, [result.as_str()]);
    if result != GateResult::NotConfigured {
        GATE_DURATION.observe(duration, [result.as_str()]);
    }
}
