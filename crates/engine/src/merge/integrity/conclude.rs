//! The conclusion about a merge's integrity, after its check ran.

use super::{Inspection, Kind, listed};
use crate::merge::{gate::CheckResult, totals::TestTotals};
use domain::integrity::IntegrityFlag;
use std::collections::HashSet;

/// The conclusion about a merge's integrity.
#[derive(Debug, Default)]
pub(crate) struct Concluded {
    /// The flags to record.
    pub(crate) flags: Vec<IntegrityFlag>,
    /// Why the work is rejected although the check passed on its tree.
    pub(crate) refused: Option<String>,
}

impl Inspection {
    /// Concludes from the check's result on the tree, its result with the files as they were before, and the totals before
    /// the work.
    pub(crate) fn conclude(
        mut self,
        result: &CheckResult,
        restored: Option<&CheckResult>,
        before: Option<&TestTotals>,
    ) -> Concluded {
        let mut concluded = Concluded::default();
        match restored {
            Some(restored) if restored.lands() => self.tell_of_restored("it passes with the version before, too"),
            Some(restored) => {
                self.tell_of_restored(&format!("with the version before, {}", restored.report.sentence()));
                concluded.refused = self.refusal(restored);
                self.flags.append(&mut self.tests);
            }
            None => {}
        }
        let ran = result.totals();
        let doubts = before.map(|before| doubts(before, &ran)).unwrap_or_default();
        if ran.tests.is_none() || !doubts.is_empty() {
            self.flags.append(&mut self.ends);
        }
        self.flags.extend(doubts);
        self.flags.sort();
        self.flags
            .dedup_by(|one, other| (one.kind, &one.path) == (other.kind, &other.path));
        concluded.flags = self.flags;
        concluded
    }

    fn tell_of_restored(&mut self, what: &str) {
        let paths: HashSet<String> = self.restored.iter().map(|(path, _)| path.to_string()).collect();
        let restored = |flag: &&mut IntegrityFlag| flag.path.as_ref().is_some_and(|path| paths.contains(path));
        for flag in self.flags.iter_mut().chain(&mut self.tests).filter(restored) {
            flag.detail = format!("{}; {what}", flag.detail);
        }
    }

    fn refusal(&self, restored: &CheckResult) -> Option<String> {
        (!self.outside.is_empty()).then(|| {
            let paths: Vec<&str> = self.outside.iter().map(String::as_str).collect();
            format!(
                "{} decide whether the work is good, and are not among the paths of this task. With them as they were \
                 before, {}: leave them as they were, and make that check pass",
                listed(&paths),
                restored.report.sentence()
            )
        })
    }
}

/// Flags from the comparison of two runs of a check.
fn doubts(before: &TestTotals, now: &TestTotals) -> Vec<IntegrityFlag> {
    let mut flags = Vec::new();
    match (before.tests, now.tests) {
        (Some(before), Some(now)) if now < before => {
            let detail = format!("{now} tests ran, and {before} before the work");
            flags.push(IntegrityFlag::of_merge(Kind::FewerTests, detail));
        }
        (Some(before), None) if before > 0 => {
            let detail = format!(
                "the check ended well, but its output no longer says how many tests ran; before the work it was {before}"
            );
            flags.push(IntegrityFlag::of_merge(Kind::ResultUnreadable, detail));
        }
        _ => {}
    }
    if now.is_odd && !before.is_odd {
        let detail = "the numbers of the printed results have gaps or doubles, or are not those of the plan";
        flags.push(IntegrityFlag::of_merge(Kind::ResultPrinted, detail));
    }
    if now.summaries > before.summaries && before.summaries > 0 {
        let detail = format!(
            "{} lines sum up tests, and {} before the work",
            now.summaries, before.summaries
        );
        flags.push(IntegrityFlag::of_merge(Kind::ResultPrinted, detail));
    }
    flags
}
