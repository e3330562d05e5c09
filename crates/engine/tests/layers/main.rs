//! Each layer that decides conflicts, on conflicts of real repositories.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[path = "../harness/mod.rs"]
mod harness;

mod driver;
mod generated;
mod models;
mod open_conflicts;
mod remembered;

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
