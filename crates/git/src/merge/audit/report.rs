//! The figures of an audit.

use crate::{error::GitError, ids::TreeId, merge::fast::GaveUp};
use domain::CommitId;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// So many merges that need a look are named; all are counted.
const MAX_SUSPECTS: usize = 20;

/// How an audit ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Commits with two parents that were found.
    pub found: usize,
    /// Those that were merged again: the sum of the next seven counts.
    pub merges: usize,
    /// Clean, to the tree that was committed.
    pub same: usize,
    /// Clean as git has it, but people committed another tree.
    pub different: usize,
    /// A conflict for us and for git.
    pub conflict: usize,
    /// A conflict, or refused, where git merges cleanly.
    pub false_conflict: usize,
    /// Clean where git has a conflict, or another clean tree than git's. Never.
    pub wrong: usize,
    /// Histories without a common commit: refused by us and by git.
    pub unrelated: usize,
    /// Objects are missing, or git failed.
    pub unreadable: usize,
    /// Merges that the fast engine left to git, with whatever result.
    pub gave_up: usize,
    /// Why, and how often.
    pub gave_up_because: BTreeMap<GaveUp, usize>,
    /// Clean merges, by git's word.
    pub clean: usize,
    /// Those of them that the fast engine decided.
    pub clean_decided: usize,
    /// How long our merges took that the fast engine decided.
    pub fast: Times,
    /// How long our merges took that were left to git, from start to end.
    pub ort: Times,
    /// How long all our merges took.
    pub ours: Times,
    /// How long `git merge-tree` took for the same merges.
    pub git: Times,
    /// The first merges that were wrong or falsely in conflict.
    pub suspects: Vec<Suspect>,
    /// What went wrong with the first merge that could not be read.
    pub first_unreadable: Option<String>,
}

/// The spread of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How many were measured.
    pub count: usize,
    /// Half took no longer, in microseconds.
    pub p50_us: u64,
    /// Ninety-nine of a hundred took no longer, in microseconds.
    pub p99_us: u64,
}

impl Times {
    /// The spread of some measurements.
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let rank = |percent: usize| {
            let index = (durations.len() * percent).div_ceil(100).saturating_sub(1);
            durations
                .get(index)
                .map_or(0, |duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
        };
        Self {
            count: durations.len(),
            p50_us: rank(50),
            p99_us: rank(99),
        }
    }
}

/// What came of one merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Clean, to the committed tree.
    Same,
    /// Clean as git has it, but not as committed.
    Different,
    /// A conflict for both.
    Conflict,
    /// A conflict for us alone.
    FalseConflict,
    /// A clean tree that is not git's.
    Wrong,
    /// Refused by both.
    Unrelated,
}

/// A merge that needs a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// The merge commit.
    pub merge: CommitId,
    /// What is the matter.
    pub verdict: Verdict,
    /// Our tree, if it was clean.
    pub ours: Option<TreeId>,
    /// Git's tree, if it was clean.
    pub git: Option<TreeId>,
}

#[derive(Default)]
pub(crate) struct Recorder {
    report: AuditReport,
    fast: Vec<Duration>,
    ort: Vec<Duration>,
    git: Vec<Duration>,
}

impl Recorder {
    pub(crate) fn times(&mut self, ours: Duration, gave_up: Option<GaveUp>, git: Duration) {
        self.git.push(git);
        match gave_up {
            None => self.fast.push(ours),
            Some(reason) => {
                self.ort.push(ours);
                self.report.gave_up += 1;
                *self.report.gave_up_because.entry(reason).or_default() += 1;
            }
        }
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict, fast: bool, suspect: Option<Suspect>) {
        let report = &mut self.report;
        report.merges += 1;
        match verdict {
            Verdict::Same => report.same += 1,
            Verdict::Different => report.different += 1,
            Verdict::Conflict => report.conflict += 1,
            Verdict::FalseConflict => report.false_conflict += 1,
            Verdict::Wrong => report.wrong += 1,
            Verdict::Unrelated => report.unrelated += 1,
        }
        if matches!(verdict, Verdict::Same | Verdict::Different) {
            report.clean += 1;
            report.clean_decided += usize::from(fast);
        }
        if let Some(suspect) = suspect.filter(|_| report.suspects.len() < MAX_SUSPECTS) {
            report.suspects.push(suspect);
        }
    }

    pub(crate) fn unreadable(&mut self, merge: &CommitId, error: &GitError) {
        self.report.merges += 1;
        self.report.unreadable += 1;
        self.report
            .first_unreadable
            .get_or_insert_with(|| format!("{}: {error}", merge.short()));
    }

    pub(crate) fn report(self, found: usize) -> AuditReport {
        AuditReport {
            found,
            fast: Times::of(self.fast.clone()),
            ort: Times::of(self.ort.clone()),
            ours: Times::of([self.fast, self.ort].concat()),
            git: Times::of(self.git),
            ..self.report
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Times;
    use std::time::Duration;

    #[test]
    fn percentiles_are_measured_values() {
        let times = Times::of((1..=200).rev().map(Duration::from_micros).collect());
        assert_eq!((times.count, times.p50_us, times.p99_us), (200, 100, 198));
        assert_eq!(Times::of(Vec::new()), Times::default());
        assert_eq!(Times::of(vec![Duration::from_micros(7)]).p99_us, 7);
    }
}
