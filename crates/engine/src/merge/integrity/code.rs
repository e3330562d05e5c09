//! New lines that end a process with success, or print what only a test runner prints.

use regex::Regex;
use std::{collections::HashMap, sync::LazyLock};

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
    ENDS_AT_ONCE,
    r"(?x) \b_exit\s*\( | \b_Exit\s*\( | \bquick_exit\s*\( | \bprocess\.reallyExit\b | \bexit!\s*(?:\(|0|$) |
        \bgetattr\s*\(\s*os\b | \bvars\s*\(\s*os\s*\) | \bpytest\.exit\s*\( | \bos\.__dict__\b |
        \bRuntime\.getRuntime\(\)\.halt | \bimport\s+_exit\b"
);
pattern!(
    ENDS_WELL,
    r"(?x) \bsys\.exit\s*\(\s*(?:0|None|False)?\s*\) | \bSystemExit\b\s*(?:\(\s*(?:0|None)?\s*\))?\s*$ |
        \b(?:quit|exit)\s*\(\s*0?\s*\) | \bprocess\.exit\s*\(\s*0?\s*\) | \bprocess\.exitCode\s*=\s*0 |
        \bprocess::exit\s*\(\s*0\s*\) | \bos\.Exit\s*\(\s*0\s*\) | \bSystem\.exit\s*\(\s*0\s*\) | \batexit\b |
        \bsyscall\.Exit\s*\(\s*0 | \bDeno\.exit\s*\(\s*0?\s*\) | \bexecv?p?e?\s*\(\s*['\x22]/?(?:usr/)?(?:bin/)?true\b |
        \bexitProcess\s*\(\s*0"
);
pattern!(
    PRINTS,
    r"(?x) \bprint\b | \bprintf?ln!? | \be?print(?:ln)?!\s*\( | \bwrite(?:ln)?!?\s*\( | \becho\b | \bprintf\b | \bputs\b |
        \bconsole\.\w+\s*\( | \bfmt\.F?[Pp]rint | \bstdout\b | \bstderr\b | \bSystem\.(?:out|err)\b"
);
pattern!(
    RESULT,
    r"(?x) (?:\d|\}|%d|\+)\s*\x22?'?\s*(?:tests?\s+)?(?:passed|failed)\b | \bpassed\s+in\b | \btest\s+result:\s | ---\s(?:PASS|FAIL) |
        ['\x22`](?:not\s+)?ok\s+(?:\d|\{|%d|-) | \b1\.\.(?:\d|\{|%d) | \bTests:\s+(?:\d|\{) | \#\s(?:pass|fail|tests)\s+(?:\d|\{|%d) |
        \bRan\s+(?:\d+|\{[^}]*\}|%d)\s+tests? | \btests?\s+run:\s | \bFAILED\s+\S+::\S+ | \bSummary\s+\["
);
pattern!(
    OK,
    r"(?i)['\x22`]\s*(?:ok|pass|passed|success|all tests pass(?:ed)?)\b[.!]?\s*(?:\\n)?\s*['\x22`]|\becho\s+(?i:ok|pass(?:ed)?)\s*$"
);
pattern!(
    LOOKS_FOR_OK,
    r"(?i)\b(?:grep|rg|awk|case|test|\[)\b?[^\n]*\b(?:ok|pass|passed|success)\b"
);

/// How surely a line ends the process that runs it, as if all were well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// At once, past everything that would notice: no honest code under test does it.
    AtOnce,
    /// As a program ends that has done its work; in code under test it ends the tests.
    Well,
}

/// Whether a new line ends the process.
pub(super) fn ends(line: &str) -> Option<Ends> {
    if is_comment(line) {
        None
    } else if ENDS_AT_ONCE.is_match(line) {
        Some(Ends::AtOnce)
    } else {
        ENDS_WELL.is_match(line).then_some(Ends::Well)
    }
}

/// Whether a new line prints what only a runner prints; where a bare `ok` decides the check, that, too.
pub(super) fn prints_result(line: &str, ok_decides: bool) -> bool {
    let is_result = RESULT.is_match(line) || (ok_decides && OK.is_match(line));
    is_result && PRINTS.is_match(line) && !is_comment(line)
}

/// Whether a check looks for a bare `ok` in what is printed.
pub(super) fn looks_for_ok(check: &str) -> bool {
    LOOKS_FOR_OK.is_match(check)
}

/// Whether a line is about code in a language of which the words above are.
pub(super) fn is_code(path: &str) -> bool {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end);
    const TEXTS: [&str; 16] = [
        "md", "rst", "txt", "adoc", "html", "css", "svg", "json", "lock", "toml", "yaml", "yml", "csv", "xml", "snap",
        "po",
    ];
    !TEXTS.contains(&end)
}

fn is_comment(line: &str) -> bool {
    ["#", "//", "*", "/*", "--", ";"]
        .iter()
        .any(|mark| line.trim_start().starts_with(mark))
        && !line.trim_start().starts_with("#[")
}

/// The lines that the later of two texts has and the earlier has not, or less often.
pub(super) fn added<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for line in before.lines() {
        *known.entry(line.trim()).or_default() += 1;
    }
    let is_new = |line: &&str| match known.get_mut(line.trim()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        Some(_) | None => !line.trim().is_empty(),
    };
    after.lines().filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_known_in_several_languages() {
        for line in [
            "os._exit(0)",
            "    os._exit(code)",
            "getattr(os, '_ex' + 'it')(0)",
            "unsafe { libc::_exit(0) }",
            "process.reallyExit(0)",
            "pytest.exit('x', returncode=0)",
            "from os import _exit",
        ] {
            assert_eq!(ends(line), Some(Ends::AtOnce), "{line}");
        }
        for line in [
            "sys.exit()",
            "sys.exit(0)",
            "process.exit(0)",
            "std::process::exit(0);",
            "os.Exit(0)",
            "raise SystemExit",
            "raise SystemExit(0)",
            "atexit.register(f)",
            "exit(0);",
        ] {
            assert_eq!(ends(line), Some(Ends::Well), "{line}");
        }
        for line in [
            "sys.exit(1)",
            "process.exit(1)",
            "std::process::exit(code)",
            "# os._exit(0)",
            "let exit = 0;",
            "app.quit_later()",
        ] {
            assert_eq!(ends(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_runner_prints_is_known_where_it_is_printed() {
        for line in [
            "print('7 passed in 0.01s')",
            "print(f\"{count} passed\")",
            "println!(\"test result: ok. 3 passed; 0 failed;\")",
            "console.log('# pass 3')",
            "echo 'ok 1 - adds'",
            "echo \"1..3\"",
            "print('FAILED t.py::old')",
            "fmt.Println(\"--- PASS: TestA\")",
            "sys.stdout.write('Ran 3 tests in 0.1s\\n\\nOK\\n')",
        ] {
            assert!(prints_result(line, false), "{line}");
        }
        for line in [
            "print('ok')",
            "x = '7 passed'",
            "// println!(\"3 passed\")",
            "println!(\"{count} files\")",
        ] {
            assert!(!prints_result(line, false), "{line}");
        }
        assert!(prints_result("print('ok')", true) && prints_result("echo OK", true));
        assert!(!prints_result("print('look')", true));
        assert!(looks_for_ok("python3 app.py | grep -q '^ok$'") && !looks_for_ok("python3 -m pytest -q"));
    }

    #[test]
    fn moved_lines_are_not_new() {
        assert_eq!(added("a\nb\n", "b\n  a\nc\nb\n"), ["c", "b"]);
    }
}
