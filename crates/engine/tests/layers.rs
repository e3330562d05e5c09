//! Each layer that decides conflicts, on conflicts of real repositories.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod harness;

use domain::{RunId, merge::Layer, run::RunState};
use engine::{GeneratedRule, Generation, MergeSettings, ModelRef, view::MergeView};
use harness::{Harness, done, git, plan};
use serde_json::{Value, json};
use sim_llm::{Fault, Rule, Scenario};
use std::{os::unix::fs::PermissionsExt, path::Path};

const CHECK: &str = "echo 1..1; echo ok 1 - it holds";

/// A harness whose conflicts are decided as these settings say.
async fn opened(scenario: Scenario, merge: MergeSettings) -> Harness {
    Harness::open_with(scenario, move |settings| settings.merge = merge.clone()).await
}

/// Two tasks side by side, each of which runs a command on its tree.
fn two(left: &str, right: &str, others: Vec<Rule>) -> Scenario {
    let work = |key: &str, command: &str| {
        Rule::worker(key)
            .attempt(1)
            .turn(1)
            .call("shell", json!({"command": command}))
            .call("finish", done())
    };
    let mut rules = vec![
        Rule::director().json(&plan(&[("left", &[]), ("right", &[])])),
        work("left", left),
        work("right", right),
    ];
    rules.extend(others);
    Scenario::from_rules(rules)
}

fn replace(text: &str) -> Value {
    json!({"decision": "replace", "text": text, "reason": "both", "dropped_lines": []})
}

fn decline(reason: &str) -> Value {
    json!({"decision": "decline", "text": "", "reason": reason, "dropped_lines": []})
}

fn rule(files: &str, how: Generation) -> GeneratedRule {
    GeneratedRule::new(files, how).unwrap()
}

fn command(command: &str) -> Generation {
    Generation::Command(command.into())
}

fn ruled(generated: Vec<GeneratedRule>) -> MergeSettings {
    MergeSettings {
        generated,
        ..MergeSettings::default()
    }
}

/// Layer and result of each decision of a run, in order.
async fn decisions(harness: &Harness, run: RunId) -> Vec<(String, String)> {
    let merges = harness.engine.views().merges(run).await.unwrap();
    let all = merges.into_iter().flat_map(|merge: MergeView| merge.resolutions);
    all.map(|decision| (decision.layer, decision.result)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(one, two)| ((*one).into(), (*two).into()))
        .collect()
}

async fn reasons(harness: &Harness, run: RunId, layer: Layer) -> String {
    let merges = harness.engine.views().merges(run).await.unwrap();
    let all = merges.into_iter().flat_map(|merge| merge.resolutions);
    let own = all.filter(|decision| decision.layer == layer.as_str());
    own.map(|decision| decision.reason).collect::<Vec<_>>().join("\n")
}

fn resolver_calls(harness: &Harness) -> usize {
    let journal = harness.model.journal();
    journal.iter().filter(|entry| entry.role == "resolver").count()
}

fn text(repository: &Path, file: &str) -> String {
    std::fs::read_to_string(repository.join(file)).unwrap()
}

async fn completes(harness: &Harness, run: RunId) {
    assert_eq!(harness.end(run).await, (RunState::Complete, String::new()));
    harness.assert_requests_were_sound();
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_files_are_made_anew_from_the_merged_tree() {
    let own = |key: &str| {
        format!("echo {key} > parts/{key}; cat parts/* > Cargo.lock; cat parts/* > new.lock; echo {key} >> src.txt")
    };
    let both = Rule::resolver("*").file("src.txt").json(&replace("left\nright\n"));
    let settings = ruled(vec![rule(
        "*.lock",
        command("cat parts/* src.txt > Cargo.lock; cp Cargo.lock new.lock"),
    )]);
    let harness = opened(two(&own("left"), &own("right"), vec![both]), settings).await;
    let repository = harness.repository(&[("parts/a", "a\n"), ("Cargo.lock", "a\n"), ("src.txt", "s\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    // The command saw what the other layers had decided, and what both sides brought.
    assert_eq!(text(&repository, "Cargo.lock"), "a\nleft\nright\ns\nleft\nright\n");
    assert_eq!(text(&repository, "new.lock"), text(&repository, "Cargo.lock"));
    let expected = [
        ("model", "resolved"),
        ("generated", "resolved"),
        ("generated", "resolved"),
    ];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
}

/// With the command that docs/configuration.md shows, and a check that refuses a lock file which cargo would change.
#[tokio::test(flavor = "multi_thread")]
async fn a_cargo_lock_of_two_new_crates_is_one_that_cargo_takes() {
    let own = |key: &str| {
        let manifest = format!("[package]\\nname = \"{key}\"\\nversion = \"1.0.0\"\\nedition = \"2024\"\\n");
        format!(
            "mkdir -p crates/{key}/src; touch crates/{key}/src/lib.rs; printf '{manifest}' > crates/{key}/Cargo.toml; \
             cargo generate-lockfile --offline"
        )
    };
    let settings = ruled(vec![rule("Cargo.lock", command("cargo update --workspace --offline"))]);
    let harness = opened(two(&own("left"), &own("right"), vec![]), settings).await;
    let repository = harness.repository(&[
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n",
        ),
        (
            "crates/base/Cargo.toml",
            "[package]\nname = \"base\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
        ),
        ("crates/base/src/lib.rs", ""),
        (
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"base\"\nversion = \"1.0.0\"\n",
        ),
    ]);
    let check = "cargo metadata --locked --offline --format-version 1 > /dev/null && echo 1..1 && echo ok 1";
    let run = harness.submit(&repository, Some(check)).await;
    completes(&harness, run.id).await;
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("generated", "resolved")]));
    let lock = text(&repository, "Cargo.lock");
    assert!(
        ["base", "left", "right"]
            .iter()
            .all(|name| lock.contains(&format!("\"{name}\""))),
        "{lock}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_makes_nothing_is_recorded_and_the_worker_told() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .contains("no such package")
        .call("shell", json!({"command": "echo both > Cargo.lock"}))
        .call("finish", done());
    let settings = ruled(vec![rule("Cargo.lock", command("echo no such package >&2; exit 3"))]);
    let harness = opened(
        two("echo left > Cargo.lock", "echo right > Cargo.lock", vec![again]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("Cargo.lock", "a\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(text(&repository, "Cargo.lock"), "both\n");
    let expected = [("generated", "failed"), ("worker", "declined")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(
        reasons(&harness, run.id, Layer::Generated)
            .await
            .contains("exit code 3")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_is_not_followed_out_of_the_checkout() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .call("shell", json!({"command": "echo both > Cargo.lock"}))
        .call("finish", done());
    let settings = ruled(vec![rule(
        "Cargo.lock",
        command("rm Cargo.lock; ln -s /etc/passwd Cargo.lock"),
    )]);
    let harness = opened(
        two("echo left > Cargo.lock", "echo right > Cargo.lock", vec![again]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("Cargo.lock", "a\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert!(
        reasons(&harness, run.id, Layer::Generated)
            .await
            .contains("it is a link")
    );
    assert_eq!(text(&repository, "Cargo.lock"), "both\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_appended_to_keep_the_lines_of_both_sides() {
    let harness = opened(
        two(
            "echo left | tee -a log.jsonl >> long.jsonl",
            "echo right | tee -a log.jsonl >> long.jsonl",
            vec![],
        ),
        ruled(vec![rule("*.jsonl", Generation::Union)]),
    )
    .await;
    // The second is too long to be merged whole.
    let long = "0\n".repeat(60_000);
    let repository = harness.repository(&[("log.jsonl", "1\n"), ("long.jsonl", &long)]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    for (file, before) in [("log.jsonl", "1\n"), ("long.jsonl", &long)] {
        let added = text(&repository, file).strip_prefix(before).unwrap().to_owned();
        let mut lines: Vec<&str> = added.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["left", "right"], "{file}");
    }
    assert_eq!(
        decisions(&harness, run.id).await,
        pairs(&[("generated", "resolved"); 2])
    );
    assert_eq!(resolver_calls(&harness), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_off_is_not_asked() {
    let both = Rule::resolver("*").json(&replace("left\nright\n"));
    let mut settings = ruled(vec![rule("*.jsonl", Generation::Union)]);
    settings.layers.remove(&Layer::Generated);
    let harness = opened(
        two("echo left >> log.jsonl", "echo right >> log.jsonl", vec![both]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("log.jsonl", "1\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("model", "resolved")]));

    let settings = MergeSettings {
        layers: [Layer::Remembered].into(),
        ..MergeSettings::default()
    };
    let harness = opened(
        two("echo left >> log.jsonl", "echo right >> log.jsonl", vec![]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("log.jsonl", "1\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    let (state, _) = harness.end(run.id).await;
    assert_eq!((state, resolver_calls(&harness)), (RunState::Failed, 0));
    // Neither a model nor the worker was asked, and the task says what stands.
    let tasks = harness.engine.views().tasks(run.id).await.unwrap();
    let failed: Vec<_> = tasks.iter().filter_map(|task| task.reason.clone()).collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0]
            .message
            .contains("log.jsonl: both sides changed the same lines"),
        "{failed:?}"
    );
    assert!(tasks.iter().all(|task| task.attempts == 1));
    assert_eq!(decisions(&harness, run.id).await, pairs(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_landed_is_remembered_and_asks_nobody() {
    let both = Rule::resolver("*")
        .file("a.txt")
        .json(&replace("left\nright\n"))
        .times(1);
    let other = Rule::resolver("*")
        .file("b.txt")
        .contains("A conflict that was decided before, in a.txt")
        .json(&replace("left\nright\n"));
    let work = |key: &str| {
        let again = format!("printf '{key}\\r\\n' > a.txt; echo {key} > b.txt");
        format!("if test -f second; then {again}; else echo {key} > a.txt; fi")
    };
    let harness = Harness::open(two(&work("left"), &work("right"), vec![both, other])).await;
    let repository = harness.repository(&[("a.txt", "base\n"), ("b.txt", "other\n")]);
    let first = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, first.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\nright\n");
    // The same lines again, with the line ends of another system.
    std::fs::write(repository.join("a.txt"), "base\r\n").unwrap();
    std::fs::write(repository.join("second"), "").unwrap();
    git(&repository, &["add", "-A"]);
    git(
        &repository,
        &[
            "-c",
            "user.name=U",
            "-c",
            "user.email=u@localhost",
            "commit",
            "-qm",
            "again",
        ],
    );

    let second = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, second.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\r\nright\r\n");
    let expected = [("remembered", "resolved"), ("model", "resolved")];
    assert_eq!(decisions(&harness, second.id).await, pairs(&expected));
    let reason = reasons(&harness, second.id, Layer::Remembered).await;
    assert!(reason.contains(&format!("in run {}", first.id.short())), "{reason}");
    assert_eq!(resolver_calls(&harness), 2, "one for each hunk that was new");
    let kept: Vec<(String, i64)> = sqlx::query_as("select path, uses from remembered_resolution order by path")
        .fetch_all(harness.database.pool())
        .await
        .unwrap();
    assert_eq!(kept, [("a.txt".to_owned(), 1), ("b.txt".to_owned(), 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_stands_when_the_rest_goes_back_to_the_worker() {
    let work = |key: &str| {
        format!(
            "sed -i '1s/.*/{key} 1/; 9s/.*/{key} 9/' both.txt; echo {key} > decided.txt; echo {key} >> log.jsonl; \
             echo {key} > parts/{key}; cat parts/* > made.lock"
        )
    };
    let hunk = |number: u32, answer: Value| Rule::resolver("*").file("both.txt").hunk(number).json(&answer);
    let seen = "cat both.txt decided.txt log.jsonl made.lock > seen; sed -i '/^<<<<<<</,/^>>>>>>>/c decided 9' both.txt; \
                cat parts/* > made.lock";
    let again = |key: &str| {
        Rule::worker(key)
            .from_attempt(2)
            .call("shell", json!({"command": seen}))
            .call("finish", done())
    };
    let rules = vec![
        Rule::resolver("*").file("decided.txt").json(&replace("left\nright\n")),
        hunk(1, replace("left 1\nright 1\n")),
        hunk(2, decline("not these")),
        again("left"),
        again("right"),
    ];
    let settings = ruled(vec![
        rule("log.jsonl", Generation::Union),
        rule("made.lock", command("cat parts/* > made.lock")),
    ]);
    let harness = opened(two(&work("left"), &work("right"), rules), settings).await;
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let files = [
        ("both.txt", lines),
        ("decided.txt", "a\n"),
        ("log.jsonl", "begun\n"),
        ("made.lock", "\n"),
        ("parts/a", "a\n"),
    ];
    let repository = harness.repository(&files);
    let run = harness.submit(&repository, Some("test -f both.txt")).await;
    completes(&harness, run.id).await;
    let seen = text(&repository, "seen");
    assert!(seen.starts_with("left 1\nright 1\n2\n"), "{seen}");
    assert_eq!(seen.matches("<<<<<<<").count(), 1, "{seen}");
    assert!(
        seen.contains(">>>>>>> theirs: the work\nleft\nright\nbegun\n"),
        "{seen}"
    );
    assert_eq!(
        text(&repository, "both.txt"),
        "left 1\nright 1\n2\n3\n4\n5\n6\n7\n8\ndecided 9\n"
    );
    assert_eq!(text(&repository, "decided.txt"), "left\nright\n");
    assert_eq!(text(&repository, "made.lock"), "a\nleft\nright\n");
    assert_eq!(text(&repository, "log.jsonl").lines().count(), 3);
}

/// A driver that joins the lines of both sides, sorted; or fails where it finds the word.
fn driver(harness: &Harness) -> MergeSettings {
    let script = harness.directory.path().join("driver.sh");
    let body = "#!/bin/sh\ngrep -q hard \"$2\" && { echo too hard; exit 1; }\ntest \"$(ls | wc -l)\" = 3 || exit 4\n\
                sort -u \"$2\" \"$3\" > \"$4\"\n";
    std::fs::write(&script, body).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let placeholders = ["{base}", "{ours}", "{theirs}", "{output}"].map(str::to_owned);
    MergeSettings {
        driver: std::iter::once(script.display().to_string())
            .chain(placeholders)
            .collect(),
        ..MergeSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_decides_in_the_sandbox_where_the_result_is_checked() {
    let work = |key: &str| format!("echo '{key}' > a.txt; printf 'hard\\n{key}\\n' > b.txt");
    let both = Rule::resolver("*").json(&replace("left\nright\n"));
    let mut harness = Harness::open(two(&work("left"), &work("right"), vec![both])).await;
    let merge = driver(&harness);
    harness.changed = Box::new(move |settings| settings.merge = merge.clone());
    harness.reopen().await;
    let repository = harness.repository(&[("a.txt", "base\n"), ("b.txt", "hard\nbase\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(text(&repository, "a.txt"), "left\nright\n");
    assert_eq!(text(&repository, "b.txt"), "hard\nleft\nright\n");
    let expected = [("driver", "resolved"), ("driver", "failed"), ("model", "resolved")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(reasons(&harness, run.id, Layer::Driver).await.contains("too hard"));
    assert!(
        std::fs::read_dir(harness.directory.path().join("data/worktrees"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mergiraf_itself_decides_where_it_is_installed() {
    if std::process::Command::new("mergiraf")
        .arg("--version")
        .output()
        .is_err()
    {
        return eprintln!("mergiraf is not installed: skipped");
    }
    let work = |key: &str| format!("sed -i 's/^use std::fs;$/&\\nuse std::{key};/' main.rs");
    let harness = Harness::open(two(&work("env"), &work("io"), Vec::new())).await;
    let source = "use std::fs;\n\nfn main() {\n    println!(\"{}\", fs::read_to_string(\"a\").is_ok());\n}\n";
    let repository = harness.repository(&[("main.rs", source)]);
    let run = harness
        .submit(&repository, Some("grep -q 'use std::fs;' main.rs"))
        .await;
    completes(&harness, run.id).await;
    let merged = text(&repository, "main.rs");
    assert!(
        merged.contains("use std::env;\n") && merged.contains("use std::io;\n"),
        "{merged}"
    );
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("driver", "resolved")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_is_not_asked_where_nothing_would_check_it() {
    let both = Rule::resolver("*").json(&replace("left\nright\n"));
    let mut harness = Harness::open(two("echo left > a.txt", "echo right > a.txt", vec![both])).await;
    let merge = driver(&harness);
    harness.changed = Box::new(move |settings| settings.merge = merge.clone());
    harness.reopen().await;
    let repository = harness.repository(&[("a.txt", "base\n")]);
    let run = harness.submit(&repository, None).await;
    completes(&harness, run.id).await;
    let expected = [("driver", "declined"), ("model", "resolved")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    assert!(
        reasons(&harness, run.id, Layer::Driver)
            .await
            .contains("no check command")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opinion_is_told_what_the_first_said() {
    let first = Rule::resolver("*")
        .model("scripted")
        .json(&decline("the intents exclude each other"));
    let second = Rule::resolver("*")
        .model("strong")
        .contains("> the intents exclude each other")
        .json(&replace("left\nright\n"));
    let settings = MergeSettings {
        second_opinion: Some(ModelRef::new("scripted", "strong")),
        ..MergeSettings::default()
    };
    let harness = opened(
        two("echo left > a.txt", "echo right > a.txt", vec![first, second]),
        settings,
    )
    .await;
    let repository = harness.repository(&[("a.txt", "base\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    let merges = harness.engine.views().merges(run.id).await.unwrap();
    let asked: Vec<_> = merges
        .iter()
        .flat_map(|merge| &merge.resolutions)
        .map(|decision| {
            (
                decision.layer.as_str(),
                decision.result.as_str(),
                decision.model.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("model", "declined", Some("scripted")),
        ("model", "resolved", Some("strong")),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_does_not_parse_goes_back_to_the_model() {
    let broken = Rule::resolver("*")
        .turn(1)
        .json(&replace("  \"left\": 1\n  \"right\": 2\n"));
    let dropped: Vec<Value> = ["\"left\": 1", "\"right\": 2"]
        .map(|line| json!({"line": line, "why": "it needs a comma"}))
        .into();
    let joined = json!({"decision": "replace", "text": "  \"left\": 1,\n  \"right\": 2\n", "reason": "both",
        "dropped_lines": dropped});
    let whole = Rule::resolver("*").turn(2).contains("no JSON any more").json(&joined);
    let work = |key: &str, number| format!("printf '{{\\n  \"{key}\": {number}\\n}}\\n' > a.json");
    let harness = Harness::open(two(&work("left", 1), &work("right", 2), vec![broken, whole])).await;
    let repository = harness.repository(&[("a.json", "{\n  \"a\": 1\n}\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    let ended = harness.end(run.id).await;
    assert_eq!(
        ended,
        (RunState::Complete, String::new()),
        "{:?}",
        decisions(&harness, run.id).await
    );
    let json: Value = serde_json::from_str(&text(&repository, "a.json")).unwrap();
    assert_eq!(json, json!({"left": 1, "right": 2}));
    assert_eq!(resolver_calls(&harness), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_about_lines_goes_to_the_worker_all_at_once() {
    let again = Rule::worker("*")
        .from_attempt(2)
        .contains("gone.txt: one side changed what the other deleted")
        .contains("new.txt: both sides added a file of this name")
        .call(
            "shell",
            json!({"command": "rm -f gone.txt; echo both > new.txt; echo both > Cargo.lock"}),
        )
        .call("finish", done());
    let harness = Harness::open(two(
        "rm gone.txt; echo left > new.txt; echo left > Cargo.lock",
        "echo right > gone.txt; echo right > new.txt; echo right > Cargo.lock",
        vec![again],
    ))
    .await;
    let repository = harness.repository(&[("gone.txt", "a\n"), ("Cargo.lock", "a\n"), ("other", "\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    completes(&harness, run.id).await;
    assert_eq!(resolver_calls(&harness), 0);
    assert_eq!(decisions(&harness, run.id).await, pairs(&[("worker", "declined"); 3]));
    let told = reasons(&harness, run.id, Layer::Worker).await;
    for part in [
        "[[merge.generated]] files = \"Cargo.lock\"",
        "bytes (mode 100644, git show ",
        "has nothing",
        "Do what",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    assert!(!repository.join("gone.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_asks_nothing_again_that_a_model_has_decided() {
    let work = |key: &str| format!("echo {key} > a.txt; echo {key} > b.txt");
    let mut harness = Harness::open(two(
        &work("left"),
        &work("right"),
        vec![
            Rule::resolver("*")
                .file("a.txt")
                .json(&replace("left\nright\n"))
                .times(1),
            Rule::resolver("*").file("b.txt").fault(Fault::Hang).times(1),
            Rule::resolver("*").file("b.txt").json(&replace("left\nright\n")),
        ],
    ))
    .await;
    let repository = harness.repository(&[("a.txt", "base\n"), ("b.txt", "base\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await;
    let asked_for_b = |harness: &Harness| {
        harness
            .model
            .journal()
            .iter()
            .any(|entry| entry.file.as_deref() == Some("b.txt"))
    };
    while !asked_for_b(&harness) {
        harness.engine.changed(run.id, i64::MAX).await;
    }
    harness.reopen().await;
    completes(&harness, run.id).await;
    let expected = [("model", "resolved"), ("model", "resolved")];
    assert_eq!(decisions(&harness, run.id).await, pairs(&expected));
    let asked_for_a = harness
        .model
        .journal()
        .iter()
        .filter(|entry| entry.file.as_deref() == Some("a.txt"))
        .count();
    assert_eq!(asked_for_a, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_what_is_under_way_for_its_conflict() {
    let harness = Harness::open(two(
        "echo left > a.txt",
        "echo right > a.txt",
        vec![Rule::resolver("*").fault(Fault::Hang)],
    ))
    .await;
    let repository = harness.repository(&[("a.txt", "base\n")]);
    let run = harness.submit(&repository, Some(CHECK)).await.id;
    while resolver_calls(&harness) == 0 {
        harness.engine.changed(run, i64::MAX).await;
    }
    harness.engine.cancel(run).await.unwrap();
    assert_eq!(harness.end(run).await.0, RunState::Cancelled);
    // The call is given up long before its time is over, and nothing is recorded any more.
    let given_back = async {
        let held = "select count(*) from model_call where settled_at is null and role = 'resolver'";
        while sqlx::query_scalar::<_, i64>(held)
            .fetch_one(harness.database.pool())
            .await
            .unwrap()
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(harness::TIMEOUT, given_back).await.unwrap();
    assert_eq!(decisions(&harness, run).await, []);
}
