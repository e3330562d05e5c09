//! Files of tests, and what a text says of its tests: which it defines, how many it skips, what it asserts.
//!
//! It is read line by line, not parsed: a comparison of two versions needs no more, and what it takes for a test by
//! mistake it takes for one in both.

use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

/// Directories that hold tests.
const DIRECTORIES: [&str; 9] = [
    "test",
    "tests",
    "spec",
    "specs",
    "__tests__",
    "t",
    "testing",
    "e2e",
    "it",
];
/// What a file in such a directory ends in to be code.
const CODE: [&str; 26] = [
    "py", "rs", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "go", "rb", "java", "kt", "scala", "cs", "php",
    "c", "cc", "cpp", "swift", "ex", "exs", "sh", "bats", "t",
];

/// Whether a path is that of a file of tests.
pub(super) fn is_test(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    if !CODE.contains(&end) {
        return false;
    }
    let in_directory = directory
        .split('/')
        .any(|part| DIRECTORIES.contains(&part.to_ascii_lowercase().as_str()));
    let begins = ["test_", "Test"].iter().any(|start| stem.starts_with(start));
    let ends = ["_test", "_tests", "_spec", ".test", ".spec", "Test", "Tests", "Spec"]
        .iter()
        .any(|tail| stem.ends_with(tail));
    in_directory || begins || ends || ["test", "tests"].contains(&stem) && end != "sh" || ["bats", "t"].contains(&end)
}

/// Whether a path lies among tests, whatever it is: their data, too.
pub(super) fn is_among_tests(path: &str) -> bool {
    let directories = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    directories.split('/').any(|part| DIRECTORIES.contains(&part))
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

pattern!(PYTHON, r"^\s*(?:async\s+)?def\s+(?P<name>test\w*)\s*\(");
pattern!(
    RUST_ATTRIBUTE,
    r"^\s*#\[(?:\w+::)*(?:test|rstest|test_case|quickcheck|bench)\b"
);
pattern!(
    RUST_FUNCTION,
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:async\s+)?fn\s+(?P<name>\w+)"
);
pattern!(
    SCRIPT,
    r#"^\s*(?:it|test|specify)(?:\.(?:only|each|concurrent)[^(`]*)?\s*[(`]\s*['"`]?(?P<name>[^'"`]*)"#
);
pattern!(GO, r"^func\s+(?P<name>(?:Test|Fuzz|Example)\w*)\s*\(");
pattern!(JAVA, r"^\s*@(?:Test|ParameterizedTest|RepeatedTest)\b");
pattern!(
    SHELL,
    r#"^\s*(?:@test\s+["'](?P<bats>[^"']*)|(?:function\s+)?(?P<name>test\w*)\s*\(\)|[^#]*\becho\s+["']?ok\s+\d+(?P<tap>[^"'|]*))"#
);
pattern!(
    RUST_SKIPS,
    r"\#\[(?:\w+::)*(?:ignore\b|cfg\s*\(\s*(?:any\(\)|FALSE|false))|\#\[cfg_attr\([^\]]*\bignore\b"
);
pattern!(
    SKIPS,
    r"(?x) @(?:unittest\.)?(?:skip\b|skipIf\b|skipUnless\b|expectedFailure\b) |
        \bpytest\.(?:mark\.)?(?:skip\b|skipif\b|xfail\b|importorskip\b) | \bself\.skipTest\b | \bSkipTest\b |
        \b(?:it|test|describe|context|suite)\.(?:skip|todo|failing|only)\b | \b(?:xit|xtest|xdescribe|xcontext)\s*\( |
        \b(?:fit|fdescribe)\s*\( | \bt\.(?:Skip|Skipf|SkipNow|skip|todo)\s*\( | \bskip\s*:\s*(?:true|['\x22]) |
        \btodo\s*:\s*true | @(?:Disabled|Ignore)\b | \#\s*(?:SKIP|skip|TODO|todo)\b[^'\x22]*['\x22]\s*(?:;|\)|$) |
        ^\s*skip\s+['\x22]"
);
pattern!(
    DISABLES,
    r"(?x) \bload_tests\b | \bcollect_ignore(?:_glob)?\b | \b__test__\s*=\s*False | \bpytest_\w+\s*\( | \batexit\b |
        \b_exit\b | \bexit\s*\(\s*0?\s*\) | \bSystemExit\b | \bos\.Exit\b | \bTestMain\b | \bprocess\.exit | ^\s*exit\b |
        ^\s*del\s+\w+ | \bsys\.modules\b | ^\s*Test\w*\s*=\s* | \|\|\s*true\b | ^\s*return\s*;?\s*$ | \bset\s+\+e\b |
        \braise\s+(?:unittest\.)?SkipTest"
);
pattern!(
    ASSERTS,
    r"(?x) ^\s*assert\b | \bself\.(?:assert|fail)\w*\s*\( | \bpytest\.raises\b | \b(?:debug_)?assert(?:_\w+)?!\s*[\(\[\{] | \bpanic!\s*\( |
        \bexpect\s*\( | \bassert(?:\.\w+)?\s*\( | \bt\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow|is|equal|deepEqual|true|false)\s*\( |
        \b(?:assert|require)\.\w+\s*\( | \bshould\b | \bAssert\w*\.\w+\s*\( | \bassert\w+\s*\("
);
pattern!(
    TAUTOLOGY,
    r"(?x) ^\s*assert\s+(?:True|1|not\s+False)\s*(?:,|\#|$) | \bassertTrue\s*\(\s*True\s*\) | \bassertFalse\s*\(\s*False\s*\) |
        \bassert!\s*\(\s*true\s*[,)] | \bassert_eq!\s*\(\s*(?P<one>\d+)\s*,\s*\d+\s*\) |
        \bexpect\s*\(\s*(?:true\s*\)\s*\.\s*(?:toBe\s*\(\s*true|toBeTruthy|toEqual\s*\(\s*true)|1\s*\)\s*\.\s*toBe\s*\(\s*1) |
        \bassert(?:\.ok)?\s*\(\s*(?:true|1)\s*\)"
);

/// What a text says of its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tests {
    /// The names of tests, each with how often it is defined.
    pub(super) defined: BTreeMap<String, usize>,
    /// Marks that keep a test from deciding.
    pub(super) skips: usize,
    /// Assertions.
    pub(super) asserts: usize,
    /// Assertions that always hold.
    pub(super) tautologies: usize,
}

impl Tests {
    /// Of a file. Outside of files of tests only Rust has tests.
    pub(super) fn of(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        if !is_rust && !is_test(path) {
            return Self::default();
        }
        let mut tests = Self::default();
        let mut attribute = false;
        for line in text.lines() {
            let is_comment = ["//", "*", "/*"].iter().any(|mark| line.trim_start().starts_with(mark));
            if is_comment {
                continue;
            }
            let skips = if is_rust { &RUST_SKIPS } else { &SKIPS };
            tests.skips += skips.find_iter(line).count();
            tests.asserts += ASSERTS.find_iter(line).count().min(1);
            tests.tautologies += usize::from(TAUTOLOGY.is_match(line));
            if is_rust {
                attribute |= RUST_ATTRIBUTE.is_match(line);
                if let Some(function) = RUST_FUNCTION.captures(line) {
                    if attribute {
                        tests.define(&function["name"]);
                    }
                    attribute = false;
                }
            } else if let Some(name) = defined(path, line) {
                tests.define(&name);
            }
        }
        if is_rust && !is_test(path) && tests.defined.is_empty() {
            // Assertions of code that has no tests are its own.
            return Self {
                skips: tests.skips,
                ..Self::default()
            };
        }
        tests
    }

    fn define(&mut self, name: &str) {
        *self.defined.entry(name.trim().to_owned()).or_default() += 1;
    }

    /// How many it defines.
    pub(super) fn count(&self) -> usize {
        self.defined.values().sum()
    }

    /// All of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (name, count) in &other.defined {
            *self.defined.entry(name.clone()).or_default() += count;
        }
        self.skips += other.skips;
        self.asserts += other.asserts;
        self.tautologies += other.tautologies;
        self
    }

    /// The names that another has and this one has not, or less often.
    pub(super) fn lacks(&self, other: &Self) -> Vec<String> {
        let less = |(name, count): &(&String, &usize)| self.defined.get(*name).copied().unwrap_or(0) < **count;
        other
            .defined
            .iter()
            .filter(less)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

fn defined(path: &str, line: &str) -> Option<String> {
    let end = path.rsplit('.').next().unwrap_or_default();
    let named = |pattern: &Regex, names: &[&str]| -> Option<String> {
        let found = pattern.captures(line)?;
        let name = names
            .iter()
            .find_map(|name| found.name(name))
            .map_or("", |text| text.as_str());
        Some(name.to_owned())
    };
    match end {
        "py" => named(&PYTHON, &["name"]),
        "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" => named(&SCRIPT, &["name"]),
        "rb" => named(&SCRIPT, &["name"]).or_else(|| named(&PYTHON_LIKE, &["name"])),
        "go" => named(&GO, &["name"]),
        "java" | "kt" | "scala" => named(&JAVA, &[]),
        "sh" | "bats" | "t" => named(&SHELL, &["bats", "name", "tap"]),
        _ => None,
    }
}

pattern!(PYTHON_LIKE, r"^\s*def\s+(?P<name>test\w*)");

/// Whether a new line of a file of tests may keep tests from running, or from deciding.
pub(super) fn disables(line: &str) -> bool {
    DISABLES.is_match(line) || SKIPS.is_match(line) || RUST_SKIPS.is_match(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_place_or_by_their_name() {
        for path in [
            "tests/a.rs",
            "src/a_test.go",
            "web/x.test.tsx",
            "test_a.py",
            "a/b/__tests__/c.js",
            "t/basic.t",
            "x.bats",
            "src/FooTest.java",
            "spec/a_spec.rb",
            "src/tests.rs",
        ] {
            assert!(is_test(path), "{path}");
        }
        for path in [
            "src/a.rs",
            "test.sh",
            "tests/data.json",
            "latest.py",
            "src/contest.py",
            "README.md",
            "tests/golden.snap",
        ] {
            assert!(!is_test(path), "{path}");
        }
        assert!(is_among_tests("tests/data.json") && !is_among_tests("src/a.rs"));
    }

    fn names(path: &str, text: &str) -> Vec<String> {
        Tests::of(path, text).defined.into_keys().collect()
    }

    #[test]
    fn each_language_defines_tests_in_its_own_way() {
        assert_eq!(
            names(
                "test_a.py",
                "class T:\n    def test_one(self):\n  async def test_two():\ndef helper():\n"
            ),
            ["test_one", "test_two"]
        );
        let rust =
            "#[test]\nfn one() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn two() {}\nfn helper() {}\n";
        assert_eq!(names("src/lib.rs", rust), ["one", "two"]);
        assert_eq!(Tests::of("src/lib.rs", rust).skips, 1);
        assert_eq!(names("a.test.ts", "it('adds', () => {})\ntest(\"b\")\n"), ["adds", "b"]);
        assert_eq!(
            names("a_test.go", "func TestA(t *testing.T) {\nfunc helper() {"),
            ["TestA"]
        );
        assert_eq!(names("a.bats", "@test \"adds\" {\n"), ["adds"]);
        assert!(names("src/a.py", "def test_connection():").is_empty());
    }

    #[test]
    fn skips_and_what_always_holds_are_counted() {
        let skips = |path: &str, text: &str| Tests::of(path, text).skips;
        for line in [
            "@pytest.mark.skip",
            "@unittest.skip('x')",
            "pytest.skip('x', allow_module_level=True)",
            "    self.skipTest('x')",
            "@pytest.mark.xfail",
            "raise unittest.SkipTest",
            "pytestmark = pytest.mark.skipif(True, reason='x')",
        ] {
            assert!(skips("test_a.py", line) > 0, "{line}");
        }
        for line in [
            "it.skip('x', f)",
            "xit('x', f)",
            "describe.only('x', f)",
            "test.todo('x')",
            "test('x', { skip: true }, f)",
        ] {
            assert!(skips("a.test.js", line) > 0, "{line}");
        }
        for line in [
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[cfg(any())]",
            "#[cfg_attr(all(), ignore)]",
        ] {
            assert!(skips("src/a.rs", line) > 0, "{line}");
        }
        assert_eq!(skips("a_test.go", "\tt.Skip(\"later\")"), 1);
        assert_eq!(
            skips("src/a.rs", "#[cfg(test)]\nlet skip = 1; // skip the rest\nit.skip(1)"),
            0
        );
        let weak = |path: &str, text: &str| Tests::of(path, text).tautologies;
        assert_eq!(
            weak("test_a.py", "assert True\nassert x == 1\nself.assertTrue(True)"),
            2
        );
        assert_eq!(weak("tests/a.rs", "assert!(true);\nassert_eq!(1, 1);\nassert!(x);"), 2);
        assert_eq!(weak("a.test.js", "expect(true).toBe(true)\nexpect(x).toBe(true)"), 1);
    }

    #[test]
    fn what_may_keep_tests_from_running_is_noticed_in_new_lines() {
        for line in [
            "def load_tests(a, b, c): return None",
            "collect_ignore = ['x']",
            "os._exit(0)",
            "func TestMain(m *testing.M) {",
            "exit 0",
            "it.skip('x')",
        ] {
            assert!(disables(line), "{line}");
        }
        for line in [
            "def test_more():",
            "    assert add(1, 2) == 3",
            "import os",
            "it('adds', () => {",
        ] {
            assert!(!disables(line), "{line}");
        }
    }
}
