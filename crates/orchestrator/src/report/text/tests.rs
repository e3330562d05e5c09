use super::*;
use domain::run::CheckSource;
use serde_json::json;

fn report() -> Report {
    let tokens = json!({"input": 21304, "output": 4120, "cached": 0, "reasoning": 0});
    let spent = |dollars: f64| json!({"nanodollars": (dollars * 1e9) as i64, "dollars": dollars});
    let line = |name: &str, dollars: f64, calls: i64| {
        json!({
            "name": name, "spent": spent(dollars), "calls": calls, "unpriced_calls": 0, "tokens": tokens,
        })
    };
    let run = json!({
        "id": "019a0000-0000-7000-8000-00007f3a12bc", "short": "7f3a12bc", "state": "complete", "reason": null,
        "objective": "Add rate limiting to the public API", "workspace_path": "/home/me/api",
        "branch": "orchestrator/7f3a12bc", "director_model": "openai/gpt-5", "worker_model": "openai/gpt-5",
        "check": {"command": "cargo test", "source": "detected"}, "base_commit": "3f9c2ab0", "base_branch": "main",
        "delivered_commit": "9e1d04c00", "checkout": "main was fast-forwarded", "plan_version": 1,
        "tasks": {"total": 2, "planned": 0, "ready": 0, "active": 0, "merging": 0, "complete": 2, "failed": 0,
            "cancelled": 0},
        "merges_landed": 2, "merges_total": 3, "cost_nanodollars": 340000000, "cost_dollars": 0.34,
        "cost": {"spent": spent(0.34), "reserved": spent(0.0), "lost": spent(0.0), "max_cost": spent(5.0), "calls": 24,
            "unpriced_calls": 0, "tokens": tokens,
            "by_role": [line("director", 0.04, 1), line("worker", 0.3, 23)], "by_model": [line("gpt-5", 0.34, 24)]},
        "last_event": 90, "created_at": "2026-01-01T00:00:00Z", "deadline_at": "2026-01-02T00:00:00Z",
        "ended_at": "2026-01-01T00:02:11Z",
    });
    let task = |key: &str, attempts: i32, returned: serde_json::Value| {
        json!({
            "returned": returned,
            "key": key, "title": "A title", "profile": "coder", "state": "complete", "reason": null,
            "attempts": attempts, "failures": attempts - 1, "crashes": 0, "turns": 11, "cost_nanodollars": 210000000,
            "cost_dollars": 0.21, "unpriced_calls": 0, "depends_on": [], "waits_for": [],
            "status": {"kind": "complete", "commit": "9e1d04c00"}, "status_text": "landed 9e1d04c",
            "merge": null, "landed_commit": "9e1d04c00", "duration_ms": 64000, "started_at": null, "ended_at": null,
        })
    };
    let blob = |id: &str| json!({"blob": id.repeat(10), "mode": 33188});
    let merge = |id: i64, task: &str, attempt: i32, state: &str, conflicts, resolutions, gate, reason| {
        json!({
            "id": id, "task": task, "attempt": attempt, "state": state, "commit": "ab", "tip": null, "merge_commit": null,
            "tree": null, "method": "ort", "conflicts": conflicts, "gate": gate, "reason": reason, "wait_ms": 1,
            "merge_ms": 2, "queued_at": "2026-01-01T00:00:00Z", "started_at": null, "ended_at": null,
            "resolutions": resolutions,
        })
    };
    let conflict = json!([{"path": "src/router.rs", "kind": "content", "base": blob("1a2b"),
        "ours": blob("3c4d"), "theirs": null}]);
    let resolution = json!([{"path": "src/router.rs", "hunk": 1, "layer": "model", "result": "resolved",
        "model": "gpt-5", "cost_dollars": 0.0021,
        "base": null, "ours": null, "theirs": null, "text": null, "reason": "both routes belong there"}]);
    let passed = json!({"verdict": "passed", "passed": 12, "failed": 0, "duration_ms": 5});
    let failed = json!({"verdict": "failed", "passed": 11, "failed": 1, "duration_ms": 5,
        "output": "ok 11\n\nnot ok 12 - a limit holds\n"});
    let reason = json!({"code": "gate", "message": "the check failed: 1 of 12 tests"});
    let returned = json!([
        {"attempt": 1, "reason": {"code": "limit", "message": "it made 40 turns (limit turns)"}, "merge": null, "at": null},
        {"attempt": 2, "reason": reason, "merge": 1, "at": null},
    ]);
    let merges = json!([
        merge(
            1,
            "limits-core",
            2,
            "rejected",
            json!([]),
            json!([]),
            failed,
            reason.clone()
        ),
        merge(
            2,
            "limits-core",
            3,
            "landed",
            json!([]),
            json!([]),
            passed.clone(),
            json!(null)
        ),
        merge(3, "limits-http", 1, "landed", conflict, resolution, passed, json!(null)),
    ]);
    Report::new(
        serde_json::from_value(run).unwrap(),
        serde_json::from_value(json!([
            task("limits-core", 3, returned),
            task("limits-http", 1, json!([]))
        ]))
        .unwrap(),
        serde_json::from_value(merges).unwrap(),
        Some(crate::changes::Changes {
            files: 4,
            insertions: 120,
            deletions: 3,
        }),
    )
}

#[test]
fn complete_run() {
    let next = ["orchestrator diff 7f3a12bc".to_owned()];
    insta::assert_snapshot!(lines(&report(), &next, &Invocation::default(), 100).join("\n"), @"

        Run 7f3a12bc is complete in 2m11s
          objective Add rate limiting to the public API
          landed    2 of 2 tasks · 2 commits · 4 files, 120 lines added, 3 removed
          branch    orchestrator/7f3a12bc, 3f9c2ab → 9e1d04c, in /home/me/api
          checkout  main was fast-forwarded
          gate      cargo test (detected): passed 2 times, failed once; 12 tests on the last tree

        Tasks
          ✓ limits-core  coder  landed 9e1d04c                          3 attempts  11 turns  $0.2100  1m04s
          ✓ limits-http  coder  landed 9e1d04c                           1 attempt  11 turns  $0.2100  1m04s

        Conflicts
          limits-http met a conflict (content) in src/router.rs   base 1a2b1a2  ours 3c4d3c4  theirs none
            hunk 1 resolved by the model (gpt-5, $0.0021): both routes belong there

        Sent back
          limits-core, attempt 1: it made 40 turns (limit turns)
          limits-core, attempt 2: the check failed: 1 of 12 tests
            | ok 11
            | not ok 12 - a limit holds

        Cost
          spent $0.3400 of $5.00 in 24 calls
          director       $0.0400      1 call     21304 tokens in     4120 out
          worker         $0.3000    23 calls     21304 tokens in     4120 out
          model gpt-5    $0.3400    24 calls     21304 tokens in     4120 out

        Next
          orchestrator diff 7f3a12bc
        ");
}

#[test]
fn unchecked_run_is_marked_twice() {
    let mut report = report();
    report.check = Some(api::Check {
        command: None,
        source: CheckSource::NotConfigured,
    });
    report.gate = crate::report::GateSums {
        unchecked: 2,
        ..Default::default()
    };
    let text = lines(&report, &[], &Invocation::default(), 100).join("\n");
    assert!(
        text.contains("2m11s, unchecked") && text.contains("gate      unchecked: there is no"),
        "{text}"
    );
}
