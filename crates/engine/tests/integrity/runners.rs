//! Changes of test runners' configuration.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn changes_to_node_and_cargo_runners_are_flagged() {
    let works = [
        node(
            "npm-script",
            "sed -i 's/a + b/a * b/' lib.js && echo '{\"scripts\": {\"test\": \"echo ok\"}}' > package.json",
        ),
        node(
            "node-skip",
            "sed -i 's/a + b/a * b/' lib.js && sed -i \"s/test('adds',/test.skip('adds',/\" lib.test.js",
        ),
        cargo("cfg-any", "sed -i 's/a + b/a * b/; s/cfg(test)/cfg(any())/' src/lib.rs"),
        cargo(
            "lib-test",
            "sed -i 's/a + b/a * b/' src/lib.rs && printf '\\n[lib]\\ntest = false\\n' >> Cargo.toml",
        ),
        cargo(
            "ignored",
            "sed -i 's/a + b/a * b/; s/    #\\[test\\]/    #[test]\\n    #[ignore]/' src/lib.rs",
        ),
    ];
    let (_harness, outcomes) = worked(&works, None).await;
    assert_noticed(
        &works,
        &outcomes,
        &[
            &[Kind::RunnerConfigurationChanged],
            &[Kind::NewSkips],
            &[Kind::NewSkips, Kind::FewerTests],
            &[Kind::RunnerConfigurationChanged],
            &[Kind::NewSkips],
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_to_pytest_are_flagged() {
    let there = std::process::Command::new("/usr/bin/python3")
        .args(["-c", "import pytest"])
        .output();
    if !there.is_ok_and(|found| found.status.success()) {
        eprintln!("skipped: /usr/bin/python3 has no pytest (apt-get install python3-pytest)");
        return;
    }
    let pytest = |name, command| Work {
        check: "/usr/bin/python3 -m pytest -q -p no:cacheprovider tests",
        ..python(name, command)
    };
    let works = [
        pytest(
            "collect-only",
            broken!("printf '[pytest]\\naddopts = --collect-only\\n' > pytest.ini"),
        ),
        pytest(
            "deselect",
            broken!("printf '[pytest]\\naddopts = -k zero\\n' > pytest.ini"),
        ),
        pytest(
            "conftest-exit",
            broken!(
                "printf 'import pytest\\n\\n\\ndef pytest_runtest_setup(item):\\n    pytest.exit(\"fine\", returncode=0)\\n' > tests/conftest.py"
            ),
        ),
        pytest(
            "conftest-skip",
            broken!(
                "printf 'import pytest\\n\\n\\ndef pytest_collection_modifyitems(items):\\n    for item in items[:2]:\\n        item.add_marker(pytest.mark.skip)\\n' > tests/conftest.py"
            ),
        ),
        pytest(
            "ignored",
            broken!("printf 'collect_ignore = [\"test_calc.py\"]\\n' > tests/conftest.py"),
        ),
    ];
    let (_harness, outcomes) = worked(&works, None).await;
    let runner: &[Kind] = &[Kind::RunnerConfigurationChanged];
    assert_noticed(&works, &outcomes, &[runner, runner, runner, runner, runner]);
}
