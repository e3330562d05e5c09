//! Metric names are a public interface: these tests pin them.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/all_events.rs"]
mod all_events;
#[path = "common/scrape.rs"]
mod scrape;
#[path = "common/settings.rs"]
mod settings;

use all_events::emit_all_events;
use scrape::Scrape;
use settings::settings;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};
use telemetry::{catalogue, reference};

/// Findings of `promtool check metrics` that stay, because older dashboards need the names.
const KNOWN_LINTS: &str = include_str!("golden/promtool.txt");

fn promtool_output(text: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed; it comes with the package `prometheus`");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The labels of each family, without `le`, as found in its samples.
fn labels(scrape: &Scrape, family: &str) -> Vec<String> {
    let of_family = |series: &&String| {
        let name = series.split('{').next().unwrap_or_default();
        ["", "_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name == format!("{family}{suffix}"))
    };
    let mut names: Vec<String> = Vec::new();
    for series in scrape.samples.keys().filter(of_family) {
        let labels = series
            .split_once('{')
            .map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default().to_owned();
            if name != "le" && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.sort();
    names
}

/// A process has one telemetry, so one test covers all facts about it.
#[test]
fn exported_names_types_and_labels_match_the_catalogue() {
    telemetry::merge::finished(telemetry::merge::MergeResult::Success, std::time::Duration::ZERO);
    assert_eq!(
        telemetry::prometheus_text(),
        "",
        "before init nothing is recorded and nothing breaks"
    );
    let telemetry = telemetry::init(settings()).unwrap();

    let untouched = Scrape::now();
    assert_eq!(untouched.value("git_merge_total{result=\"conflict\"}"), 0.0);
    assert_eq!(
        untouched.value("task_completion_total{status=\"failure\",worker_profile=\"coder\"}"),
        0.0
    );
    assert_eq!(
        untouched.value("llm_requests_total{model=\"other\",status=\"error\"}"),
        0.0
    );
    assert!(
        !untouched.samples.contains_key("llm_budget_remaining_dollars"),
        "no budget is not a budget of zero"
    );
    assert!(
        !untouched.types.contains_key("git_merge_duration_seconds"),
        "0 would be an observation"
    );

    emit_all_events();
    let text = telemetry::prometheus_text();
    let scrape = Scrape::read(&text);
    let mut exported = String::new();
    for (name, kind) in &scrape.types {
        writeln!(exported, "{name} {kind} {{{}}}", labels(&scrape, name).join(",")).unwrap();
    }
    let mut declared = BTreeSet::new();
    for metric in catalogue::declarations() {
        let mut labels: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
        labels.sort_unstable();
        let line = format!("{} {} {{{}}}\n", metric.prometheus, metric.kind, labels.join(","));
        assert!(declared.insert(line), "{} is declared twice", metric.prometheus);
    }
    assert_eq!(exported, declared.into_iter().collect::<String>());
    insta::assert_snapshot!("exported", exported);
    assert_eq!(promtool_output(&text), KNOWN_LINTS);
    telemetry.shutdown();
}

#[test]
fn every_declaration_is_valid() {
    for metric in catalogue::declarations() {
        assert!(
            !metric.help.is_empty() && metric.help.ends_with('.'),
            "{}",
            metric.prometheus
        );
        assert_eq!(
            metric.buckets.is_empty(),
            metric.kind != "histogram",
            "{}",
            metric.prometheus
        );
        assert!(metric.buckets.is_sorted(), "{}", metric.prometheus);
        for label in metric.labels {
            assert!(
                !label.name.contains("id") || label.name == "idle",
                "{} has an id as a label",
                metric.prometheus
            );
        }
    }
}

#[test]
fn reference_page_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/observability.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text
        .split_once(reference::BEGIN)
        .expect("the page marks the generated part");
    let (_, after) = rest
        .split_once(reference::END)
        .expect("the page marks the generated part");
    let current = format!(
        "{before}{}\n\n{}{}{after}",
        reference::BEGIN,
        reference::tables(),
        reference::END
    );
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        return std::fs::write(&page, &current).unwrap();
    }
    assert!(
        text == current,
        "docs/observability.md is stale: run the test with UPDATE_REFERENCE=1"
    );
}
