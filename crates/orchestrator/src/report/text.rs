//! The report as lines for people.

use super::{Conflict, Decision, MergeReport, Report, TaskReport};
use crate::progress::{clean, elapsed, shortened, wrapped};
use api::{Amount, CostLine};
use domain::{
    NanoDollars,
    run::{CheckSource, RunState},
    task::TaskState,
};
use std::time::Duration;

/// Names of facts stand in a column of their own.
const LABEL: usize = 10;

/// Everything a person wants to know at the end, and the next commands.
pub(crate) fn lines(report: &Report, next: &[String], columns: usize) -> Vec<String> {
    let mut lines = vec![String::new(), headline(report)];
    lines.extend(fact("asked", &clean(&report.objective), columns));
    if let Some(reason) = &report.reason {
        lines.extend(fact("reason", &clean(&reason.message), columns));
    }
    lines.extend(fact("landed", &landed(report), columns));
    lines.extend(fact("branch", &branch(report), columns));
    if let Some(checkout) = &report.checkout {
        lines.extend(fact("checkout", &clean(checkout), columns));
    }
    lines.extend(fact("gate", &gate(report), columns));
    lines.extend(section("Tasks", tasks(report, columns)));
    lines.extend(section("Conflicts", report.conflicted().flat_map(|merge| conflict(merge, columns)).collect()));
    lines.extend(section("Sent back", report.sent_back().flat_map(|merge| sent_back(merge, columns)).collect()));
    lines.extend(section("Cost", cost(report)));
    lines.extend(section("Next", next.iter().map(|command| format!("  {command}")).collect()));
    lines
}

fn headline(report: &Report) -> String {
    let time = report.duration_ms.map(|ms| format!(" in {}", elapsed(milliseconds(ms)))).unwrap_or_default();
    let words = match report.state {
        RunState::Complete => "is complete",
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
        RunState::Planning | RunState::Running | RunState::Delivering => "is under way",
    };
    let unchecked = if report.gate.unchecked > 0 { ", unchecked" } else { "" };
    format!("Run {} {words}{time}{unchecked}", report.short)
}

fn landed(report: &Report) -> String {
    let complete = report.tasks.iter().filter(|task| task.state == TaskState::Complete).count();
    let commits = report.tasks.iter().filter(|task| task.landed_commit.is_some()).count();
    let changes = report.changes.map_or(String::new(), |changes| {
        format!(
            " · {}, {} lines added, {} removed",
            plural(changes.files as usize, "file"),
            changes.insertions,
            changes.deletions
        )
    });
    format!("{complete} of {} · {}{changes}", plural(report.tasks.len(), "task"), plural(commits, "commit"))
}

fn branch(report: &Report) -> String {
    let ends = match (&report.base, &report.commit) {
        (Some(base), Some(commit)) => format!(", {} → {}", short(base), short(commit)),
        (Some(base), None) => format!(" from {}, not delivered", short(base)),
        (None, _) => ", not delivered".to_owned(),
    };
    format!("{}{ends}, in {}", report.branch, clean(&report.repository))
}

fn gate(report: &Report) -> String {
    let Some(check) = &report.check else { return "the workspace was not prepared".to_owned() };
    let Some(command) = &check.command else {
        return "unchecked: there is no check command; name one with --check or in the configuration".to_owned();
    };
    let source = match check.source {
        CheckSource::Request => "asked for",
        CheckSource::Configuration => "configured",
        CheckSource::Detected => "detected",
        CheckSource::NotConfigured => "not configured",
    };
    let sums = &report.gate;
    let mut results = vec![format!("passed {}", times(sums.passed))];
    if sums.failed > 0 {
        results.push(format!("failed {}", times(sums.failed)));
    }
    if sums.could_not_run > 0 {
        results.push(format!("could not run {}", times(sums.could_not_run)));
    }
    let tests = sums.tests.map_or(String::new(), |tests| format!("; {} on the last tree", plural(tests as usize, "test")));
    format!("{} ({source}): {}{tests}", clean(command), results.join(", "))
}

fn tasks(report: &Report, columns: usize) -> Vec<String> {
    let width = |text: fn(&TaskReport) -> &str| report.tasks.iter().map(|task| text(task).chars().count()).max().unwrap_or(0);
    let (keys, profiles) = (width(|task| &task.key), width(|task| &task.profile));
    let line = |task: &TaskReport| {
        let mark = match task.state {
            TaskState::Complete => "✓",
            TaskState::Failed => "✗",
            TaskState::Cancelled => "–",
            TaskState::Planned | TaskState::Ready | TaskState::Active | TaskState::Merging => "○",
        };
        let end = match (&task.landed_commit, &task.reason) {
            (Some(commit), _) => format!("landed {}", short(commit)),
            (None, Some(reason)) => format!("{}: {}", task.state, clean(&reason.message)),
            (None, None) => task.state.to_string(),
        };
        let time = task.duration_ms.map(|ms| elapsed(milliseconds(ms))).unwrap_or_default();
        let left = format!("  {mark} {:<keys$}  {:<profiles$}  {end}", task.key, task.profile);
        let right = format!(
            "{:>10} {:>9} {:>8} {time:>6}",
            plural(task.attempts.max(0) as usize, "attempt"),
            plural(task.turns.max(0) as usize, "turn"),
            dollars(task.cost_dollars),
        );
        let room = columns.saturating_sub(right.chars().count() + 1).max(30);
        format!("{:<room$} {right}", shortened(&left, room))
    };
    report.tasks.iter().map(line).collect()
}

fn conflict(merge: &MergeReport, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for conflict in &merge.conflicts {
        lines.push(format!("  {} met {} in {}", merge.task, words(&conflict.kind), blobs(conflict)));
        let decisions = merge.resolutions.iter().filter(|decision| decision.path == conflict.path);
        lines.extend(decisions.flat_map(|decision| decided(decision, columns)));
    }
    lines
}

fn blobs(conflict: &Conflict) -> String {
    let side = |name: &str, blob: &Option<String>| {
        format!("{name} {}", blob.as_deref().map_or("none", short))
    };
    let sides =
        [side("base", &conflict.base), side("ours", &conflict.ours), side("theirs", &conflict.theirs)].join("  ");
    format!("{}   {sides}", clean(&conflict.path))
}

fn decided(decision: &Decision, columns: usize) -> Vec<String> {
    let hunk = if decision.hunk == 0 { String::new() } else { format!("hunk {} ", decision.hunk) };
    let text = format!("{hunk}{} by the {}: {}", decision.result, decision.layer, clean(&decision.reason));
    indented(&text, 4, columns)
}

fn sent_back(merge: &MergeReport, columns: usize) -> Vec<String> {
    let why = merge.reason.as_ref().map(|reason| clean(&reason.message)).unwrap_or_else(|| merge.state.to_string());
    indented(&format!("{}, attempt {}: {why}", merge.task, merge.attempt), 2, columns)
}

fn cost(report: &Report) -> Vec<String> {
    let cap = report.cost.cap.map_or(String::new(), |cap| format!(" of {}", amount(cap)));
    let mut lines = vec![format!("  spent {}{cap} in {}", amount(report.cost.spent), plural(report.cost.calls.max(0) as usize, "call"))];
    let by_role = report.cost.by_role.iter().map(|line| (clean(&line.name), line));
    let by_model = report.cost.by_model.iter().map(|line| (format!("model {}", clean(&line.name)), line));
    let all: Vec<(String, &CostLine)> = by_role.chain(by_model).collect();
    let names = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.extend(all.into_iter().map(|(name, line)| {
        let cached = if line.tokens.cached > 0 { format!("   {} cached", line.tokens.cached) } else { String::new() };
        let unpriced = if line.unpriced_calls > 0 { format!("   {} unpriced", line.unpriced_calls) } else { String::new() };
        format!(
            "  {:<names$}  {:>9}  {:>10}  {:>8} tokens in  {:>7} out{cached}{unpriced}",
            name,
            amount(line.spent),
            plural(line.calls.max(0) as usize, "call"),
            line.tokens.input,
            line.tokens.output,
        )
    }));
    lines
}

fn section(title: &str, body: Vec<String>) -> Vec<String> {
    if body.is_empty() {
        return body;
    }
    [String::new(), title.to_owned()].into_iter().chain(body).collect()
}

fn fact(name: &str, text: &str, columns: usize) -> Vec<String> {
    let lines = wrapped(text, columns.saturating_sub(LABEL + 2).max(30));
    let label = |at: usize| if at == 0 { name } else { "" };
    lines.into_iter().enumerate().map(|(at, line)| format!("  {:<LABEL$}{line}", label(at))).collect()
}

fn indented(text: &str, by: usize, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(by + 2).max(30);
    let lines = wrapped(text, room).into_iter().enumerate();
    lines.map(|(at, line)| format!("{}{line}", " ".repeat(if at == 0 { by } else { by + 2 }))).collect()
}

fn words(kind: &str) -> String {
    format!("a {} conflict", kind.replace('_', " "))
}

fn plural(number: usize, noun: &str) -> String {
    crate::progress::count(number as u64, noun)
}

fn times(number: usize) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

fn short(id: &str) -> &str {
    id.get(..7).unwrap_or(id)
}

fn amount(amount: Amount) -> String {
    NanoDollars(amount.nanodollars).to_string()
}

fn dollars(dollars: f64) -> String {
    NanoDollars::from_dollars(dollars).unwrap_or_default().to_string()
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Report {
        let tokens = json!({"input": 21304, "output": 4120, "cached": 0, "reasoning": 0});
        let spent = |dollars: f64| json!({"nanodollars": (dollars * 1e9) as i64, "dollars": dollars});
        let line = |name: &str, dollars: f64, calls: i64| json!({
            "name": name, "spent": spent(dollars), "calls": calls, "unpriced_calls": 0, "tokens": tokens,
        });
        let run = json!({
            "id": "019a0000-0000-7000-8000-00007f3a12bc", "short": "7f3a12bc", "state": "complete", "reason": null,
            "objective": "Add rate limiting to the public API", "workspace_path": "/home/me/api",
            "branch": "orchestrator/7f3a12bc", "director_model": "openai/gpt-5", "worker_model": "openai/gpt-5",
            "check": {"command": "cargo test", "source": "detected"}, "base": "3f9c2ab0", "base_branch": "main",
            "delivered_commit": "9e1d04c00", "checkout": "main was fast-forwarded", "plan_version": 1,
            "tasks": {"total": 2, "planned": 0, "ready": 0, "active": 0, "merging": 0, "complete": 2, "failed": 0,
                "cancelled": 0},
            "merges_landed": 2, "merges": 3, "cost_nanodollars": 340000000, "cost_dollars": 0.34,
            "cost": {"spent": spent(0.34), "reserved": spent(0.0), "lost": spent(0.0), "cap": spent(5.0), "calls": 24,
                "unpriced_calls": 0, "tokens": tokens,
                "by_role": [line("director", 0.04, 1), line("worker", 0.3, 23)], "by_model": [line("gpt-5", 0.34, 24)]},
            "last_event": 90, "created_at": "2026-01-01T00:00:00Z", "deadline_at": "2026-01-02T00:00:00Z",
            "ended_at": "2026-01-01T00:02:11Z",
        });
        let task = |key: &str, attempts: i32| json!({
            "key": key, "title": "A title", "profile": "coder", "state": "complete", "reason": null,
            "attempts": attempts, "failures": attempts - 1, "crashes": 0, "turns": 11, "cost_nanodollars": 210000000,
            "cost_dollars": 0.21, "unpriced_calls": 0, "depends_on": [], "waits_for": [], "action": null,
            "merge": null, "landed_commit": "9e1d04c00", "duration_ms": 64000, "started_at": null, "ended_at": null,
        });
        let blob = |id: &str| json!({"blob": id.repeat(10), "mode": 33188});
        let merge = |task: &str, state: &str, conflicts, resolutions, gate, reason| json!({
            "id": 1, "task": task, "attempt": 1, "state": state, "commit": "ab", "tip": null, "merged_commit": null,
            "tree": null, "how": "ort", "conflicts": conflicts, "gate": gate, "reason": reason, "wait_ms": 1,
            "merge_ms": 2, "queued_at": "2026-01-01T00:00:00Z", "started_at": null, "ended_at": null,
            "resolutions": resolutions,
        });
        let conflict = json!([{"path": "src/router.rs", "kind": "content", "base": blob("1a2b"),
            "ours": blob("3c4d"), "theirs": null}]);
        let resolution = json!([{"path": "src/router.rs", "hunk": 1, "layer": "model", "result": "resolved",
            "base": null, "ours": null, "theirs": null, "text": null, "reason": "both routes belong there"}]);
        let passed = json!({"verdict": "passed", "passed": 12, "failed": 0, "duration_ms": 5});
        let failed = json!({"verdict": "failed", "passed": 11, "failed": 1, "duration_ms": 5});
        let reason = json!({"code": "gate", "message": "the check failed: 1 of 12 tests"});
        let merges = json!([
            merge("limits-core", "rejected", json!([]), json!([]), failed, reason),
            merge("limits-core", "landed", json!([]), json!([]), passed.clone(), json!(null)),
            merge("limits-http", "landed", conflict, resolution, passed, json!(null)),
        ]);
        Report::new(
            serde_json::from_value(run).unwrap(),
            serde_json::from_value(json!([task("limits-core", 2), task("limits-http", 1)])).unwrap(),
            serde_json::from_value(merges).unwrap(),
            Some(crate::changes::Changes { files: 4, insertions: 120, deletions: 3 }),
        )
    }

    #[test]
    fn a_complete_run() {
        let next = ["orchestrator diff 7f3a12bc".to_owned()];
        insta::assert_snapshot!(lines(&report(), &next, 100).join("\n"), @"

        Run 7f3a12bc is complete in 2m11s
          asked     Add rate limiting to the public API
          landed    2 of 2 tasks · 2 commits · 4 files, 120 lines added, 3 removed
          branch    orchestrator/7f3a12bc, 3f9c2ab → 9e1d04c, in /home/me/api
          checkout  main was fast-forwarded
          gate      cargo test (detected): passed 2 times, failed once; 12 tests on the last tree

        Tasks
          ✓ limits-core  coder  landed 9e1d04c                       2 attempts   11 turns   $0.2100   1m04s
          ✓ limits-http  coder  landed 9e1d04c                        1 attempt   11 turns   $0.2100   1m04s

        Conflicts
          limits-http met a content conflict in src/router.rs   base 1a2b1a2  ours 3c4d3c4  theirs none
            hunk 1 resolved by the model: both routes belong there

        Sent back
          limits-core, attempt 1: the check failed: 1 of 12 tests

        Cost
          spent $0.3400 of $5.00 in 24 calls
          director    $0.0400      1 call     21304 tokens in     4120 out
          worker      $0.3000    23 calls     21304 tokens in     4120 out
          gpt-5       $0.3400    24 calls     21304 tokens in     4120 out

        Next
          orchestrator diff 7f3a12bc
        ");
    }

    #[test]
    fn an_unchecked_run_says_so_twice() {
        let mut report = report();
        report.check = Some(api::Check { command: None, source: CheckSource::NotConfigured });
        report.gate = crate::report::GateSums { unchecked: 2, ..Default::default() };
        let text = lines(&report, &[], 100).join("\n");
        assert!(text.contains("2m11s, unchecked") && text.contains("gate      unchecked: there is no"), "{text}");
    }
}
