//! Snapshots of the output of commands. Ids, times, paths and ports have stand-ins.

use crate::caller::Caller;
use e2e::{done, eventually, plan};
use regex::Regex;
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::process::Output;

/// What differs from one run of the tests to the next. The first that fits replaces.
const STAND_INS: [(&str, &str); 16] = [
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[run-id]",
    ),
    (r"\b[0-9a-f]{40}\b", "[commit]"),
    (r"\b[0-9a-f]{12}\b", "[commit]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
    (r"\d{4}-\d\d-\d\d\b", "[date]"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r" *\+?\b\d+(\.\d)?s\b", " [duration]"),
    (r" *\+?\b\d+m\d\ds\b", " [duration]"),
    (r"\b[0-9a-f]{8}\b", "[run]"),
    (r"\b[0-9a-f]{7}\b", "[commit]"),
    (r" +\d+ (KiB|MiB|GiB)", " [size]"),
    (r"(?m)^\d+ (KiB|MiB|GiB)", "[size]"),
    (r" +\d+\.\d+ ms", " [ms]"),
    (r"\b(north|south)\b", "[task]"),
    (r"(?m)^(\s+)[12]$", "$1[line]"),
    (r"(\d+) tokens in +(\d+) out", "[tokens]"),
];

fn one_file() -> Scenario {
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .call("write_file", json!({"path": "made", "content": "1\n"}))
            .call("finish", done()),
    ])
}

fn with_conflicts() -> Scenario {
    let write = |content: &str| json!({"path": "made", "content": content});
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("north", &[]), ("south", &[])])),
        Rule::worker("north")
            .call("write_file", write("1\n"))
            .call("finish", done()),
        Rule::worker("south")
            .call("write_file", write("2\n"))
            .call("finish", done()),
    ])
}

/// Lines of tasks that are equal but for their state, of which either may land first, in one order.
fn in_one_order(text: &str) -> String {
    let is_task = |line: &str| line.contains(" [task] ") && line.starts_with("  ") && line.contains("coder");
    let lines: Vec<&str> = text.lines().collect();
    let mut ordered = Vec::new();
    for group in lines.chunk_by(|one, next| is_task(one) && is_task(next)) {
        let mut group = group.to_vec();
        group.sort_unstable();
        ordered.extend(group);
    }
    ordered.join("\n")
}

/// Both streams, with stand-ins.
fn looks(caller: &Caller, name: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shown = text(&output.stdout);
    if !output.stderr.is_empty() {
        shown = format!("{shown}--- standard error\n{}", text(&output.stderr));
    }
    shown = format!("{shown}--- exit code {}", output.status.code().unwrap_or(-1));
    for (path, stand_in) in caller.paths() {
        shown = shown.replace(&path, stand_in);
    }
    for (pattern, stand_in) in STAND_INS {
        let pattern = Regex::new(pattern).expect("a pattern of this file");
        shown = pattern.replace_all(&shown, stand_in).into_owned();
    }
    insta::assert_snapshot!(name, in_one_order(&shown));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_commands_match_snapshots() {
    let mut caller = Caller::new(one_file(), "").await;
    looks(&caller, "runs-none", &caller.call(&["runs"]));
    looks(&caller, "merges-none", &caller.call(&["merges", "--all"]));
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let models = [
        "--director-model",
        "openai/scripted",
        "--worker-model",
        "openai/scripted",
    ];
    let workspace = repository.to_str().unwrap();
    let run = ["run", "make a file", "--check", "test -f made", "-w", workspace];
    looks(&caller, "run", &caller.call(&[&run[..], &models].concat()));
    looks(&caller, "runs", &caller.call(&["runs", "-n", "1"]));
    let short = caller.newest().await.short();
    looks(&caller, "show", &caller.call(&["show", &short]));
    looks(&caller, "logs", &caller.call(&["logs", &short]));
    looks(&caller, "diff", &caller.call(&["diff", &short]));
    looks(&caller, "follow-ended", &caller.call(&["follow", &short]));
    looks(&caller, "deliver", &caller.call(&["deliver", &short]));
    looks(&caller, "cancel-ended", &caller.call(&["cancel", &short]));
    let detached = ["run", "make it again", "--detach", "-w", workspace];
    looks(
        &caller,
        "run-detached",
        &caller.call(&[&detached[..], &models].concat()),
    );
    let second = caller.newest().await;
    caller.product.end(second).await;
    looks(
        &caller,
        "clean-dry-run",
        &caller.call(&["clean", "--dry-run", "--older-than", "0"]),
    );
    looks(&caller, "clean", &caller.call(&["clean", "--older-than", "0"]));
    looks(&caller, "clean-nothing", &caller.call(&["clean"]));
    looks(&caller, "show-missing", &caller.call(&["show", "00000000"]));
    looks(&caller, "worker-alone", &caller.call(&["worker"]));
    looks(&caller, "merge-audit", &caller.call(&["merge-audit", workspace]));
    assert_eq!(caller.product.stop().await, Some(0));
    caller.product.start_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_commands_match_snapshots() {
    let caller = Caller::new(with_conflicts(), "[merge]\nlayers = [\"person\"]\n").await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, None).await;
    let merge = eventually("a merge waits", || async {
        let merges = caller.product.client.merges(&run.to_string()).await.ok()?.merges;
        let waiting = merges.iter().find(|merge| merge.state.as_str() == "waiting");
        waiting.map(|merge| merge.id.to_string())
    })
    .await;
    looks(&caller, "show-waiting", &caller.call(&["show", &run.to_string()]));
    looks(&caller, "runs-waiting", &caller.call(&["runs"]));
    looks(&caller, "merges", &caller.call(&["merges"]));
    looks(&caller, "merges-show", &caller.call(&["merges", "show", &merge]));
    looks(
        &caller,
        "merges-checkout",
        &caller.call(&["merges", "checkout", &merge, "files"]),
    );
    looks(
        &caller,
        "merges-resolve-nothing",
        &caller.call(&["merges", "resolve", &merge]),
    );
    looks(
        &caller,
        "merges-resolve",
        &caller.call(&["merges", "resolve", &merge, "--ours", "made"]),
    );
    assert_eq!(caller.product.end(run).await["state"], "complete");
    looks(&caller, "merges-all", &caller.call(&["merges", "--all"]));
    looks(&caller, "merges-show-landed", &caller.call(&["merges", "show", &merge]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_matches_snapshots() {
    let endless = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("long", &[])])),
        Rule::worker("long").call("shell", json!({"command": "sleep 300"})),
    ]);
    let caller = Caller::new(endless, "").await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, None).await;
    eventually("its command runs", || async {
        let tasks = caller.product.client.tasks(&run.to_string()).await.ok()?.tasks;
        tasks.first()?.status_text.contains("shell").then_some(())
    })
    .await;
    looks(&caller, "show-active", &caller.call(&["show", &run.to_string()]));
    looks(&caller, "cancel", &caller.call(&["cancel", &run.to_string()]));
    caller.product.end(run).await;
    looks(&caller, "show-cancelled", &caller.call(&["show", &run.to_string()]));
}
