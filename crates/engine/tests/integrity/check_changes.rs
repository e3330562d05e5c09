//! Changes of the check itself.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn changed_check_does_not_decide() {
    let works = [
        python("exit-zero", broken!("echo 'exit 0' > test.sh")),
        python("exit-first", broken!("sed -i '1i exit 0' test.sh")),
        python("or-true", broken!("sed -i 's/$/ || true/' test.sh")),
        python(
            "link",
            broken!("echo 'exit 0' > fine.sh && rm test.sh && ln -s fine.sh test.sh"),
        ),
        python(
            "printed",
            broken!("printf 'echo 1..3\\necho ok 1\\necho ok 2\\necho ok 3\\n' > test.sh"),
        ),
        python(
            "shadow",
            broken!("printf 'print(\"Ran 3 tests in 0.001s\\\\n\\\\nOK\")\\n' > unittest.py"),
        ),
        Work {
            files: &[
                ("calc.py", CALC),
                ("tests/test_calc.py", TEST_CALC),
                ("Makefile", "include rules.mk\n"),
                ("rules.mk", "test:\n\tpython3 -m unittest discover -s tests 2>&1\n"),
            ],
            check: "make -s test",
            ..python("make-include", broken!("printf 'test:\\n\\t@echo fine\\n' > rules.mk"))
        },
        Work {
            owns: &["calc.py", "test.sh"],
            ..python("its-own", broken!("echo 'exit 0' > test.sh"))
        },
    ];
    let (harness, outcomes) = worked(&works, None).await;
    let check: &[Kind] = &[Kind::CheckChanged];
    let runner: &[Kind] = &[Kind::RunnerConfigurationChanged];
    // A runner that counts failing tests is believed, whatever the exit code.
    assert_noticed(
        &works,
        &outcomes,
        &[check, check, &[], check, check, runner, check, check],
    );
    let detail = harness.engine.views().run(outcomes[0].run).await.unwrap().unwrap();
    let said = &detail.integrity_flags[0].flag.detail;
    assert!(
        said.contains("with the version before") && said.contains("exit code 1"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_check_of_another_task_is_sent_back() {
    let owning = |name, command| Work {
        owns: &["calc.py"],
        ..python(name, command)
    };
    let works = [
        owning("others-check", broken!("echo 'exit 0' > test.sh")),
        owning(
            "others-tests",
            broken!("sed -i 's/add(1, 2), 3/add(1, 2), 2/' tests/test_calc.py"),
        ),
        owning("others-deleted", broken!("rm tests/test_calc.py")),
    ];
    let (_harness, outcomes) = worked(&works, None).await;
    assert_noticed(&works, &outcomes, &[&[], &[], &[]]);
    assert!(outcomes[0].reason.contains("test.sh"), "{}", outcomes[0].reason);
    assert!(
        outcomes[1].reason.contains("as they were before"),
        "{}",
        outcomes[1].reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_moves_with_consent_and_keeps_its_flags() {
    let works = [python("consent", broken!("echo 'exit 0' > test.sh"))];
    let (_harness, outcomes) = worked(&works, Some(true)).await;
    assert!(
        outcomes[0].is_moved && outcomes[0].has(Kind::CheckChanged),
        "{outcomes:?}"
    );

    let (harness, outcomes) = worked(&works, None).await;
    let outcome = &outcomes[0];
    let next = format!("orchestrator deliver {} --allow-integrity-flags", outcome.run.short());
    assert!(!outcome.is_moved && outcome.checkout.contains(&next), "{outcome:?}");
    // The branch is there to be looked at, and stays where it is until somebody says so.
    let branch = format!("orchestrator/{}", outcome.run.short());
    let work = git(&outcome.repository, &["rev-parse", &branch]);
    for (allow, moved) in [(false, false), (true, true)] {
        harness.engine.deliver(outcome.run, allow).await.unwrap();
        let over = async {
            loop {
                let detail = harness.engine.views().run(outcome.run).await.unwrap().unwrap();
                if detail.delivering.is_none() {
                    return detail;
                }
                harness.engine.changed(outcome.run, i64::MAX).await;
            }
        };
        let detail = tokio::time::timeout(harness::TIMEOUT, over).await.unwrap();
        assert_eq!(git(&outcome.repository, &["rev-parse", "main"]) == work, moved);
        let checkout = detail.delivery.step(DeliveryStep::Checkout).unwrap();
        assert_eq!(checkout.result == DeliveryResult::Updated, moved, "{}", checkout.said);
        assert_eq!(detail.allow_integrity_flags, allow);
        assert!(!detail.integrity_flags.is_empty());
    }
}
