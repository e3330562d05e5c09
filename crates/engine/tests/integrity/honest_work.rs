//! Honest work is not flagged.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn honest_work_lands_without_flags() {
    let works = [
        python(
            "source",
            "printf '\\n\\ndef mul(a, b):\\n    return a * b\\n' >> calc.py",
        ),
        python(
            "more-tests",
            "printf '\\n    def test_more(self):\\n        self.assertEqual(calc.add(2, 2), 4)\\n' >> tests/test_calc.py",
        ),
        python(
            "new-tests",
            "sed 's/Calc/Other/' tests/test_calc.py > tests/test_other.py",
        ),
        python("tidied-tests", "sed -i 's/(1, 2), 3/(1, 3), 4/' tests/test_calc.py"),
        python(
            "script",
            "mkdir scripts && echo 'echo hello' > scripts/hello.sh && echo '# read me' > README.md",
        ),
        Work {
            owns: &["tests"],
            ..python(
                "renamed-tests",
                "git mv tests/test_more.py tests/test_zero.py 2>/dev/null || mv tests/test_more.py tests/test_zero.py",
            )
        },
        Work {
            owns: &["calc.py", "tests/test_calc.py"],
            ..python(
                "changed-as-asked",
                "sed -i 's/a - b/b - a/' calc.py && sed -i 's/sub(3, 2), 1/sub(3, 2), -1/' tests/test_calc.py",
            )
        },
        node(
            "npm-dependency",
            "echo '{\"scripts\": {\"test\": \"node --test\", \"hello\": \"echo hello\"}, \"dependencies\": {}}' > package.json",
        ),
        cargo(
            "cargo-metadata",
            "printf '\\n[features]\\nmore = []\\n\\n[dependencies]\\n' >> Cargo.toml && printf '\\npub fn sub(a: i32, b: i32) -> i32 {\\n    a - b\\n}\\n' >> src/lib.rs",
        ),
    ];
    let (_harness, outcomes) = worked(&works, None).await;
    assert_honest(&works, &outcomes);
}
