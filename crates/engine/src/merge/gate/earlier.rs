//! What earlier runs of checks said.

use super::report::CheckResult;
use crate::merge::ran::Ran;
use domain::{CommitId, RunId};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

/// What fails on the base of a run without any work on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Red {
    /// The names of the tests.
    pub(super) failing: BTreeSet<String>,
    /// What breaks without being a test.
    pub(super) broken: BTreeSet<String>,
    /// How many, where the output tells.
    pub(super) failed: Option<u64>,
    /// How many tests ran at all.
    pub(super) ran: Option<u64>,
    /// The lines that were printed.
    pub(super) shape: BTreeSet<String>,
}

impl From<CheckResult> for Red {
    fn from(on_base: CheckResult) -> Self {
        Self {
            failing: on_base.report.failing,
            broken: on_base.broken,
            failed: on_base.report.failed,
            ran: on_base.ran,
            shape: on_base.shape,
        }
    }
}

/// A check on a tree: the name of the hub, the commit, the command.
pub(super) type CheckOf = (String, CommitId, String);

/// What earlier runs of checks said that later ones are compared with. What fails on the base of a run is found out
/// once for each run that needs it; how many tests ran on a tree is known from the gate that it landed through.
#[derive(Debug, Default)]
pub(crate) struct EarlierChecks {
    failing: Mutex<HashMap<RunId, Red>>,
    ran: Mutex<HashMap<CheckOf, Ran>>,
}

/// Trees of which it is known how many tests ran; beyond that all are forgotten, and found out again where needed.
const TREES: usize = 4_096;

impl EarlierChecks {
    /// Drops what was found out about a run that ended.
    pub(crate) fn forget(&self, run: RunId) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    pub(super) fn known(&self, run: RunId) -> Option<Red> {
        let known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&run).cloned()
    }

    pub(super) fn learn(&self, run: RunId, red: Red) {
        let mut known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, red);
    }

    pub(super) fn ran(&self, check: &CheckOf) -> Option<Ran> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.get(check).cloned()
    }

    pub(super) fn learn_ran(&self, check: CheckOf, now: Ran) {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        if ran.len() >= TREES {
            ran.clear();
        }
        ran.insert(check, now);
    }
}
