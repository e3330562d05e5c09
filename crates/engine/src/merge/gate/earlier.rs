//! Results of earlier checks that later ones are compared with.

use super::report::CheckResult;
use crate::merge::totals::TestTotals;
use domain::{CommitId, RunId};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

/// What fails on the base of a run, without any work.
#[derive(Clone, Debug, Default)]
pub(super) struct BaseFailures {
    /// The names of the tests.
    pub(super) failing: BTreeSet<String>,
    /// What breaks without being a test.
    pub(super) broken: BTreeSet<String>,
    /// How many tests fail, where the output tells.
    pub(super) failed: Option<u64>,
    /// How many tests ran.
    pub(super) ran: Option<u64>,
    /// The lines of the output.
    pub(super) shape: BTreeSet<String>,
}

impl From<CheckResult> for BaseFailures {
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

/// Results of earlier checks: the failures on a run's base, determined once per run, and the totals of trees that landed.
#[derive(Debug, Default)]
pub(crate) struct EarlierChecks {
    failing: Mutex<HashMap<RunId, BaseFailures>>,
    ran: Mutex<HashMap<CheckOf, TestTotals>>,
}

/// Trees whose totals are kept. At the limit all are dropped and determined again where needed.
const TREES: usize = 4_096;

impl EarlierChecks {
    /// Forgets an ended run.
    pub(crate) fn forget(&self, run: RunId) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    pub(super) fn known(&self, run: RunId) -> Option<BaseFailures> {
        let known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&run).cloned()
    }

    pub(super) fn learn(&self, run: RunId, red: BaseFailures) {
        let mut known = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, red);
    }

    pub(super) fn totals(&self, check: &CheckOf) -> Option<TestTotals> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.get(check).cloned()
    }

    pub(super) fn save_totals(&self, check: CheckOf, now: TestTotals) {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        if ran.len() >= TREES {
            ran.clear();
        }
        ran.insert(check, now);
    }
}
