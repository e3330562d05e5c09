//! How many tests ran and which failed, as far as the output of a common runner tells.

use regex::Regex;
use std::{collections::BTreeSet, sync::LazyLock};

/// What an output tells. A count that can't be read is unknown, never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: Option<u64>,
    /// Tests that failed.
    pub(crate) failed: Option<u64>,
    /// The names of tests that failed.
    pub(crate) failing: BTreeSet<String>,
    /// What broke without being a test: a build, a package, a program or a file of tests.
    pub(crate) broken: BTreeSet<String>,
    /// Lines that sum up all tests, of runners that print one at their end.
    pub(crate) summaries: usize,
    /// Whether the numbers of results are not those of the plan, or are doubled.
    pub(crate) is_odd: bool,
}

impl Counts {
    /// How many tests ran.
    pub(crate) fn ran(&self) -> Option<u64> {
        Some(self.passed? + self.failed?)
    }
}

/// A runner whose output is known by a line, with the way to read it.
struct Runner {
    /// Each match adds to the counts by its named groups `passed`, `failed` and `errors`, which are failures, too.
    summary: &'static LazyLock<Regex>,
    /// Each match names a failing test by its group `name`.
    failure: &'static LazyLock<Regex>,
    /// Whether it sums up all tests once, at its end.
    is_last: bool,
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| known($text));
    };
}

/// A pattern of this file; each is compiled by the tests below.
fn known(text: &str) -> Regex {
    #[allow(clippy::expect_used, reason = "constant text, compiled by a test")]
    Regex::new(text).expect("a constant pattern")
}

pattern!(
    CARGO,
    r"(?m)^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed;"
);
pattern!(CARGO_FAILURE, r"(?m)^test (?P<name>\S.*?) \.\.\. FAILED$");
pattern!(
    NEXTEST,
    r"(?m)^\s*Summary \[.*?\]\s+\d+(?:/\d+)? tests? run: (?P<passed>\d+) passed(?:[^,\n]*, (?P<failed>\d+) failed)?"
);
pattern!(
    NEXTEST_FAILURE,
    r"(?m)^\s+(?:FAIL|TIMEOUT|SIG\w+) \[.*?\] (?P<name>\S.*)$"
);
pattern!(
    PYTEST,
    r"(?m)^=*\s*(?:(?P<failed>\d+) failed(?:, )?)?(?:(?P<passed>\d+) passed)?(?:[^\n]*?(?P<errors>\d+) errors?)?[^\n]* in [\d.]+s\b"
);
pattern!(PYTEST_FAILURE, r"(?m)^(?:FAILED|ERROR) (?P<name>\S+)");
pattern!(
    JEST,
    r"(?m)^Tests:\s+(?:(?P<failed>\d+) failed, )?(?:\d+ \w+, )*?(?:(?P<passed>\d+) passed, )?\d+ total"
);
pattern!(JEST_FAILURE, r"(?m)^\s+● (?P<name>.+)$");
pattern!(NODE, r"(?m)^(?:#|ℹ) pass (?P<passed>\d+)\n(?:#|ℹ) fail (?P<failed>\d+)");
pattern!(GO_FAILURE, r"(?m)^\s*--- FAIL: (?P<name>\S+)");
pattern!(GO, r"(?m)^\s*--- (?:(?P<ok>PASS)|(?P<bad>FAIL)): \S+");
pattern!(
    TAP_LINE,
    r"(?m)^(?P<not>not )?ok\b(?: (?P<number>\d+))?(?: (?:- )?(?P<name>[^#\n]*))?(?P<directive>#[^\n]*)?$"
);
pattern!(UNITTEST, r"(?m)^Ran (?P<ran>\d+) tests? in [\d.]+s$");
pattern!(
    UNITTEST_END,
    r"(?m)^(?:OK|FAILED)(?: \((?:failures=(?P<failures>\d+))?(?:, )?(?:errors=(?P<errors>\d+))?(?:, )?(?:skipped=(?P<skipped>\d+))?[^)]*\))?$"
);
pattern!(UNITTEST_FAILURE, r"(?m)^(?:FAIL|ERROR): (?P<name>\S+ \([^)\n]*\))");
pattern!(TAP_PLAN, r"(?m)^1\.\.(?P<last>\d+)");

const RUNNERS: [Runner; 5] = [
    Runner {
        summary: &CARGO,
        failure: &CARGO_FAILURE,
        is_last: false,
    },
    Runner {
        summary: &NEXTEST,
        failure: &NEXTEST_FAILURE,
        is_last: true,
    },
    Runner {
        summary: &JEST,
        failure: &JEST_FAILURE,
        is_last: true,
    },
    Runner {
        summary: &NODE,
        failure: &TAP_NODE_FAILURE,
        is_last: true,
    },
    Runner {
        summary: &PYTEST,
        failure: &PYTEST_FAILURE,
        is_last: true,
    },
];
pattern!(TAP_NODE_FAILURE, r"(?m)^\s*(?:not ok \d+ - |✖ )(?P<name>.+)$");

/// What breaks without being a test that fails, each named so that it is the same wherever it breaks the same way: a
/// crate that does not compile, a program of tests that fails or is ended by a signal, a package that fails, does not
/// build or does not set up, a file of tests that does not load.
const BREAKAGES: [&LazyLock<Regex>; 5] = [&CARGO_BUILD, &CARGO_TARGET, &CARGO_SIGNAL, &GO_PACKAGE, &JEST_SUITE];
pattern!(
    CARGO_BUILD,
    r"(?m)^error: (?P<name>could not compile `[^`]+`(?: \([^)]*\))?)"
);
pattern!(
    CARGO_TARGET,
    r"(?m)^(?:error: test failed, to rerun pass | {4})`(?P<name>[^`\n]+)`$"
);
pattern!(
    CARGO_SIGNAL,
    r"(?m)^\s*process didn't exit successfully: .*(?P<name>\(signal: [^)]*\))$"
);
pattern!(GO_PACKAGE, r"(?m)^FAIL\t(?P<name>\S+(?: \[[a-z ]+\])?)");
pattern!(JEST_SUITE, r"(?m)^FAIL (?P<name>\S+\.\w+)");

/// Reads an output.
pub(crate) fn read(output: &str) -> Counts {
    let known = RUNNERS.iter().find_map(|runner| runner.read(output));
    let known = known
        .or_else(|| read_unittest(output))
        .or_else(|| read_tap(output))
        .or_else(|| read_go(output));
    let mut counts = known.unwrap_or_default();
    counts.broken = BREAKAGES.iter().flat_map(|pattern| names(pattern, output)).collect();
    counts
}

impl Runner {
    fn read(&self, output: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        for summary in self.summary.captures_iter(output) {
            let number = |name| summary.name(name).and_then(|text| text.as_str().parse::<u64>().ok());
            let [passed, failed, errors] = ["passed", "failed", "errors"].map(number);
            if passed.or(failed).or(errors).is_none() {
                continue;
            }
            let failed = failed.unwrap_or(0) + errors.unwrap_or(0);
            counts.passed = Some(counts.passed.unwrap_or(0) + passed.unwrap_or(0));
            counts.failed = Some(counts.failed.unwrap_or(0) + failed);
            counts.summaries += usize::from(self.is_last);
        }
        counts.passed?;
        counts.failing = names(self.failure, output);
        Some(counts)
    }
}

fn read_tap(output: &str) -> Option<Counts> {
    TAP_PLAN.find(output)?;
    let mut counts = Counts {
        passed: Some(0),
        failed: Some(0),
        is_odd: is_odd_tap(output),
        ..Counts::default()
    };
    for line in TAP_LINE.captures_iter(output) {
        let directive = line
            .name("directive")
            .map_or("", |text| text.as_str())
            .to_ascii_lowercase();
        let excused = directive.contains("todo") || directive.contains("skip");
        if excused {
            continue;
        }
        if line.name("not").is_none() {
            counts.passed = counts.passed.map(|count| count + 1);
            continue;
        }
        counts.failed = counts.failed.map(|count| count + 1);
        let name = line
            .name("name")
            .or(line.name("number"))
            .map_or("", |text| text.as_str().trim());
        counts.failing.insert(name.to_owned());
    }
    Some(counts)
}

/// Whether there are not as many results as the plans say, or one plan has two results of a number.
fn is_odd_tap(output: &str) -> bool {
    let plans: Vec<usize> = TAP_PLAN
        .captures_iter(output)
        .filter_map(|plan| plan["last"].parse().ok())
        .collect();
    let (mut numbers, mut results, mut doubled) = (BTreeSet::new(), 0, false);
    for line in TAP_LINE.captures_iter(output) {
        results += 1;
        doubled |= line
            .name("number")
            .is_some_and(|number| !numbers.insert(number.as_str()));
    }
    results != plans.iter().sum::<usize>() || (doubled && plans.len() == 1)
}

/// Python's own runner.
fn read_unittest(output: &str) -> Option<Counts> {
    let number = |text: Option<regex::Match<'_>>| text.and_then(|text| text.as_str().parse::<u64>().ok()).unwrap_or(0);
    let runs: Vec<u64> = UNITTEST
        .captures_iter(output)
        .map(|run| number(run.name("ran")))
        .collect();
    if runs.is_empty() {
        return None;
    }
    let (mut failed, mut skipped) = (0, 0);
    for end in UNITTEST_END.captures_iter(output) {
        failed += number(end.name("failures")) + number(end.name("errors"));
        skipped += number(end.name("skipped"));
    }
    Some(Counts {
        passed: Some(runs.iter().sum::<u64>().saturating_sub(failed + skipped)),
        failed: Some(failed),
        failing: names(&UNITTEST_FAILURE, output),
        summaries: runs.len(),
        ..Counts::default()
    })
}

fn read_go(output: &str) -> Option<Counts> {
    let mut lines = GO.captures_iter(output).peekable();
    lines.peek()?;
    let (mut passed, mut failed) = (0, 0);
    for line in lines {
        if line.name("ok").is_some() {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    Some(Counts {
        passed: Some(passed),
        failed: Some(failed),
        failing: names(&GO_FAILURE, output),
        ..Counts::default()
    })
}

fn names(pattern: &Regex, output: &str) -> BTreeSet<String> {
    pattern
        .captures_iter(output)
        .filter_map(|line| Some(line.name("name")?.as_str().trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(output: &str) -> (Option<u64>, Option<u64>) {
        let counts = read(output);
        (counts.passed, counts.failed)
    }

    #[test]
    fn tap_is_counted_without_skipped_and_todo_tests() {
        let output = "1..4\nok 1 - adds\nnot ok 2 - subtracts\nok 3 - slow # SKIP no time\nnot ok 4 - later # TODO\n";
        assert_eq!(counts(output), (Some(1), Some(1)));
        assert_eq!(read(output).failing, BTreeSet::from(["subtracts".to_owned()]));
    }

    #[test]
    fn cargo_binaries_are_added_up() {
        let output = "test a ... ok\ntest b::c ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored;\n\
                      test result: ok. 3 passed; 0 failed; 0 ignored;";
        assert_eq!(counts(output), (Some(4), Some(1)));
        assert_eq!(read(output).failing, BTreeSet::from(["b::c".to_owned()]));
    }

    #[test]
    fn other_runners_are_read() {
        assert_eq!(
            counts("     Summary [   0.012s] 3 tests run: 2 passed, 1 failed, 0 skipped"),
            (Some(2), Some(1))
        );
        assert_eq!(
            counts("FAILED t.py::x\n==== 1 failed, 7 passed in 0.12s ===="),
            (Some(7), Some(1))
        );
        assert_eq!(counts("7 passed in 0.12s"), (Some(7), Some(0)));
        assert_eq!(counts("Tests:       1 failed, 4 passed, 5 total"), (Some(4), Some(1)));
        assert_eq!(counts("# pass 3\n# fail 0"), (Some(3), Some(0)));
        assert_eq!(
            counts("--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)"),
            (Some(1), Some(1))
        );
    }

    #[test]
    fn what_breaks_without_a_test_that_fails_is_named() {
        let failing = |output: &str| read(output).failing.into_iter().collect::<Vec<_>>().join(" | ");
        let broken = |output: &str| read(output).broken.into_iter().collect::<Vec<_>>().join(" | ");
        let pytest =
            "ERROR tests/test_b.py\nFAILED tests/test_a.py::x - assert\n= 1 failed, 3 passed, 1 error in 0.2s =";
        assert_eq!(counts(pytest), (Some(3), Some(2)));
        assert_eq!(failing(pytest), "tests/test_a.py::x | tests/test_b.py");
        assert_eq!(counts("ERROR t.py\n2 errors in 0.10s"), (Some(0), Some(2)));
        let go = "--- FAIL: TestA (0.00s)\nFAIL\tm/a\t0.01s\nFAIL\tm/b [build failed]\nok  \tm/c\t0.01s\nFAIL\n";
        assert_eq!(
            (failing(go), broken(go)),
            ("TestA".into(), "m/a | m/b [build failed]".into())
        );
        let cargo = "test a ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;\n\
                     error: test failed, to rerun pass `-p one --lib`\n\nCaused by:\n  process didn't exit \
                     successfully: `target/debug/deps/two-1` (signal: 6, SIGABRT: process abort signal)\n\
                     error: 2 targets failed:\n    `-p one --lib`\n    `-p two --lib`\n\
                     error: could not compile `three` (lib test) due to 1 previous error\n";
        assert_eq!(
            broken(cargo),
            "(signal: 6, SIGABRT: process abort signal) | -p one --lib | -p two --lib | \
             could not compile `three` (lib test)"
        );
        assert_eq!(
            broken("FAIL src/a.test.js\n  ● adds\n\nTests:       1 failed, 1 total"),
            "src/a.test.js"
        );
    }

    #[test]
    fn pythons_own_runner_is_read_without_what_it_skips() {
        let output = "FAIL: test_a (t.T.test_a)\n\nRan 5 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)\n";
        assert_eq!(counts(output), (Some(2), Some(2)));
        assert_eq!(read(output).failing, BTreeSet::from(["test_a (t.T.test_a)".to_owned()]));
        assert_eq!(counts("Ran 3 tests in 0.000s\n\nOK\n"), (Some(3), Some(0)));
        assert_eq!(counts("Ran 3 tests in 0.000s\n\nOK (skipped=1)\n"), (Some(2), Some(0)));
    }

    #[test]
    fn results_that_do_not_add_up_are_odd() {
        assert!(!read("1..2\nok 1 - a\nok 2 - b\n").is_odd);
        for odd in ["1..2\nok 1\n", "1..2\nok 1\nok 1\n", "1..1\nok 1\nok 2\n"] {
            assert!(read(odd).is_odd, "{odd}");
        }
        assert_eq!(read("1 passed in 0.1s\n3 passed in 0.2s\n").summaries, 2);
    }

    #[test]
    fn no_tests_is_zero_and_an_unknown_output_is_unknown() {
        assert_eq!(
            counts("test result: ok. 0 passed; 0 failed; 0 ignored;"),
            (Some(0), Some(0))
        );
        assert_eq!(counts("1..0\n"), (Some(0), Some(0)));
        assert_eq!(counts("all good"), (None, None));
    }
}
