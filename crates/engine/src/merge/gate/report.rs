//! The result of the check on a tree.

use super::{
    super::totals::TestTotals,
    counts::{self, Counts},
    earlier::BaseFailures,
};
use domain::gate::{GateReport, GateVerdict};
use sandbox::{Exit, Finished};
use std::{collections::BTreeSet, path::Path};

/// Bytes of the output's end that are stored: runners sum up there.
const KEPT_OUTPUT_BYTES: usize = 16 << 10;
/// Lines of an output that are compared with those of another.
const SHAPE_LINES: usize = 5_000;
/// Flaky tests that a sentence names.
const NAMED: usize = 5;

/// The result of the check on a tree, from one run or several: the report, and what later results are compared with.
#[derive(Clone, Debug)]
pub(crate) struct CheckResult {
    /// As it is stored and shown.
    pub(crate) report: GateReport,
    /// What broke without being a test.
    pub(super) broken: BTreeSet<String>,
    /// Tests that ran, where the output tells.
    pub(super) ran: Option<u64>,
    /// Lines in which a runner sums up.
    summaries: usize,
    /// Whether numbers of results are missing or doubled.
    is_odd: bool,
    /// The lines of the output without what differs from run to run.
    pub(super) shape: BTreeSet<String>,
    /// Whether the command was ended before its end.
    cut_short: bool,
}

impl CheckResult {
    /// Reads a finished command. One that could not run, or that ran no test, never passes.
    pub(super) fn read(command: &str, finished: &Finished, log: &Path, limit_s: u64) -> Self {
        let counts = counts::read(&finished.output_head_tail);
        let ran = counts.ran();
        let Counts {
            passed,
            failed,
            failing,
            broken,
            summaries,
            is_odd,
        } = counts;
        let ran_none = passed == Some(0) && failed == Some(0);
        let (verdict, exit, note) = match finished.exit {
            Exit::Code(0) if ran_none => (
                GateVerdict::CouldNotRun,
                "exit code 0".to_owned(),
                Some("it ran no test at all".to_owned()),
            ),
            Exit::Code(0) if failed.is_some_and(|failed| failed > 0) => (
                GateVerdict::Failed,
                "exit code 0".to_owned(),
                Some("its own output counts failing tests".to_owned()),
            ),
            Exit::Code(0) => (GateVerdict::Passed, "exit code 0".to_owned(), None),
            Exit::Code(code @ (126 | 127)) => (
                GateVerdict::CouldNotRun,
                format!("exit code {code}"),
                Some("the command could not be started".to_owned()),
            ),
            Exit::Code(code) => (GateVerdict::Failed, format!("exit code {code}"), None),
            Exit::Signal(signal) => (GateVerdict::CouldNotRun, format!("signal {signal}"), None),
            Exit::TimedOut => (
                GateVerdict::Failed,
                "the time limit".to_owned(),
                Some(format!("it was ended after {limit_s} s (limit gate_s)")),
            ),
            Exit::Cancelled => (GateVerdict::CouldNotRun, "being cancelled".to_owned(), None),
            Exit::OverLimit(limit) => (
                GateVerdict::Failed,
                "a limit of its sandbox".to_owned(),
                Some(format!("it was killed: {limit}")),
            ),
        };
        let reached = finished.reached.map(|limit| format!("it reached its {limit}"));
        let note = [note, reached]
            .into_iter()
            .flatten()
            .reduce(|note, more| format!("{note}; {more}"));
        Self {
            report: GateReport {
                verdict,
                command: Some(command.to_owned()),
                exit,
                passed,
                failed,
                failing,
                flaky: BTreeSet::new(),
                runs: 1,
                duration_ms: finished.duration.as_millis() as u64,
                note,
                // Masked before it is cut: half a secret looks like none.
                output: tail(
                    &telemetry::secrets::redacted(&finished.output_head_tail),
                    KEPT_OUTPUT_BYTES,
                )
                .to_owned(),
                output_file: finished.output_cut.then(|| log.display().to_string()),
            },
            broken,
            ran,
            summaries,
            is_odd,
            shape: shape(&finished.output_head_tail),
            cut_short: matches!(finished.exit, Exit::TimedOut | Exit::OverLimit(_)),
        }
    }

    /// Whether another run on the same tree may differ: this one came to its end and named failing tests.
    pub(super) fn may_be_flaky(&self) -> bool {
        // A build that fails is not a test, and fails the next time too.
        let tests = self.report.failed.is_some_and(|failed| failed > 0) && !self.report.failing.is_empty();
        self.report.verdict == GateVerdict::Failed && tests && !self.cut_short
    }

    /// Whether the check came to its end and all of its output was read.
    pub(super) fn is_complete(&self) -> bool {
        !self.cut_short && self.report.output_file.is_none()
    }

    /// Whether everything that fails also fails without the work: by name, and no more of them, because tests of one name
    /// may exist in several places. No fewer tests may have run: a test that no longer runs does not pass.
    pub(super) fn only_fails(&self, base: &BaseFailures) -> bool {
        let no_fewer = match (self.ran, base.ran) {
            (Some(ran), Some(before)) => ran >= before,
            (_, None) | (None, _) => true,
        };
        let no_more = match (self.report.failed, base.failed) {
            (Some(failed), Some(before)) => failed <= before,
            (_, None) | (None, _) => true,
        };
        let nothing_new = self.report.failing.is_subset(&base.failing) && self.broken.is_subset(&base.broken);
        self.is_complete()
            && !self.report.failing.is_empty()
            && nothing_new
            && no_more
            && no_fewer
            && self.resembles(base)
    }

    /// Whether most of the output around the failures on the base is here too: the names of failing tests alone are
    /// easily printed.
    fn resembles(&self, base: &BaseFailures) -> bool {
        2 * base.shape.intersection(&self.shape).count() >= base.shape.len()
    }

    /// The totals, for comparison with another run.
    pub(crate) fn totals(&self) -> TestTotals {
        TestTotals {
            tests: self.ran,
            summaries: self.summaries,
            is_odd: self.is_odd,
        }
    }

    /// Rejects a tree that passes: with files as they were before, the check gave `restored`.
    pub(super) fn rejected(mut self, why: String, restored: Self) -> Self {
        let report = &mut self.report;
        report.verdict = GateVerdict::Failed;
        report.note = Some(match report.note.take() {
            Some(note) => format!("{note}; {why}"),
            None => why,
        });
        report.failing = restored.report.failing;
        report.output = restored.report.output;
        report.output_file = None;
        report.runs += restored.report.runs;
        report.duration_ms += restored.report.duration_ms;
        self
    }

    /// Combines this run with one more on the same tree, whose verdict counts. What failed in only one of them is flaky.
    pub(super) fn with(mut self, mut next: Self) -> Self {
        let runs = self.report.runs + next.report.runs;
        if next.report.failing.is_empty() && !next.lands() {
            // It broke off before it named the failing tests, so it proves nothing about those that failed before.
            self.report.runs = runs;
            return self;
        }
        let differing = self.report.failing.symmetric_difference(&next.report.failing);
        let mut flaky: BTreeSet<String> = differing.cloned().collect();
        flaky.append(&mut self.report.flaky);
        next.report.flaky = flaky;
        next.report.runs = runs;
        next.report.duration_ms += self.report.duration_ms;
        next
    }

    /// The final result, given what fails on the run's base too.
    pub(super) fn beside(mut self, base: &BaseFailures) -> Self {
        let only_fails = self.report.verdict == GateVerdict::Failed && self.only_fails(base);
        let report = &mut self.report;
        let mut notes: Vec<String> = report.note.take().into_iter().collect();
        if only_fails {
            report.verdict = GateVerdict::Passed;
            notes.push(format!(
                "the base is red: the {} failing tests fail there too, and nothing new fails",
                report.failing.len()
            ));
        }
        if !report.flaky.is_empty() {
            let names: Vec<&str> = report.flaky.iter().take(NAMED).map(String::as_str).collect();
            let more = match report.flaky.len() - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.push(format!(
                "flaky in {} runs on this very tree: {}{more}",
                report.runs,
                names.join(", ")
            ));
        }
        report.note = (!notes.is_empty()).then(|| notes.join("; "));
        self
    }

    /// Whether the tree may land.
    pub(crate) fn lands(&self) -> bool {
        self.report.verdict.lands()
    }
}

/// The lines of an output, without numbers, directories and times.
fn shape(output: &str) -> BTreeSet<String> {
    let line = |line: &str| -> String {
        let words = line
            .split_whitespace()
            .map(|word| word.rsplit('/').next().unwrap_or(word));
        let text = words.collect::<Vec<_>>().join(" ");
        text.chars()
            .map(|letter| if letter.is_ascii_digit() { '#' } else { letter })
            .collect()
    };
    output
        .lines()
        .map(line)
        .filter(|line| line.len() > 2)
        .take(SHAPE_LINES)
        .collect()
}

/// The end of a text, beginning at a line where there is one.
fn tail(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut start = text.len() - bytes;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = &text[start..];
    cut.find('\n').map_or(cut, |line| &cut[line + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn result(output: &str) -> CheckResult {
        let finished = Finished {
            exit: Exit::Code(1),
            output_head_tail: output.to_owned(),
            output_cut: false,
            reached: None,
            output_bytes: output.len() as u64,
            duration: Duration::ZERO,
            created_in: Duration::ZERO,
        };
        CheckResult::read("check", &finished, Path::new("log"), 1)
    }

    fn beside(base: &str, merged: &str) -> GateVerdict {
        let red = BaseFailures::from(result(base));
        result(merged).beside(&red).report.verdict
    }

    #[test]
    fn red_base_excuses_only_what_fails_there() {
        let red = "FAILED t.py::old\n= 1 failed, 4 passed in 0.1s =";
        assert_eq!(beside(red, red), GateVerdict::Passed);
        assert_eq!(
            beside(red, "FAILED t.py::old\n= 1 failed, 9 passed in 0.1s ="),
            GateVerdict::Passed
        );
        for worse in [
            "FAILED t.py::old\nFAILED t.py::new\n= 2 failed, 3 passed in 0.1s =",
            // A file of tests that does not load, and tests that don't come to run.
            "FAILED t.py::old\nERROR u.py\n= 1 failed, 4 passed, 1 error in 0.1s =",
            "FAILED t.py::old\n= 1 failed, 3 passed in 0.1s =",
        ] {
            assert_eq!(beside(red, worse), GateVerdict::Failed, "{worse}");
        }
        let red = "--- FAIL: TestOld (0.00s)\nFAIL\tm/a\t0.01s\nok  \tm/b\t0.01s\nFAIL\n";
        assert_eq!(beside(red, red), GateVerdict::Passed);
        let unbuilt = "--- FAIL: TestOld (0.00s)\nFAIL\tm/a\t0.01s\nFAIL\tm/b [build failed]\nFAIL\n";
        assert_eq!(beside(red, unbuilt), GateVerdict::Failed);
        let red = "test old ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;\n\
                   error: test failed, to rerun pass `--lib`\n";
        // The names alone, without what the runner printed around them, are nobody's result.
        let long = "collected 5 items\nt.py F....\n_ old _\n    def old():\nE   assert 1 == 2\n";
        let red_long = format!("{long}FAILED t.py::old\n= 1 failed, 4 passed in 0.1s =");
        assert_eq!(beside(&red_long, &red_long), GateVerdict::Passed);
        assert_eq!(
            beside(&red_long, "FAILED t.py::old\n= 1 failed, 4 passed in 0.1s ="),
            GateVerdict::Failed
        );
        let aborted =
            format!("{red}  process didn't exit successfully: `x` (signal: 6, SIGABRT: process abort signal)\n");
        assert_eq!(beside(red, &aborted), GateVerdict::Failed);
    }
}
