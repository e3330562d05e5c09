//! Snapshots of the text of every page, and of the OpenAPI document.

use crate::{
    harness::{Answer, Harness, answer},
    waiting,
};
use regex::{Captures, Regex};
use reqwest::Method;
use sim_llm::Scenario;

/// What differs from run to run, and what stands for it.
const VARIABLE: [(&str, &str); 6] = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[run id]"),
    (r"\b[0-9a-f]{40}\b", "[commit]"),
    (
        r"\b[0-9a-f]*[0-9][0-9a-f]*[a-f][0-9a-f]*\b|\b[0-9a-f]*[a-f][0-9a-f]*[0-9][0-9a-f]*\b|\b[0-9]{7,8}\b",
        "[id]",
    ),
    (r"\b(\d+[dhm] )?\d+(\.\d)?[smh] ago", "[age] ago"),
    (r"\b(\d+m )?\d+(\.\d)?s\b", "[time]"),
    (r"\b\d{3,6}\b", "[number]"),
];

async fn page(harness: &Harness, path: &str) -> String {
    let found: Answer = answer(harness.ask(Method::GET, path).header("Accept", "text/html")).await;
    assert_eq!(found.status, 200, "{path}: {}", found.text);
    let directory = harness.directory.path().display().to_string();
    let mut shown = text(&found.text).replace(&directory, "[directory]");
    for (pattern, name) in VARIABLE {
        shown = Regex::new(pattern).unwrap().replace_all(&shown, name).into_owned();
    }
    shown
}

/// The text of a page: one line for each block, columns of a table with bars between them.
fn text(html: &str) -> String {
    let replace =
        |text: &str, pattern: &str, with: &str| Regex::new(pattern).unwrap().replace_all(text, with).into_owned();
    let mut text = replace(html, r"(?s)^.*<body>", "");
    text = replace(&text, r"</t[hd]>(<t[hd][^>]*>)", " | ");
    text = replace(&text, r"</dt>\s*<dd[^>]*>", ": ");
    text = replace(&text, r"<(h1|h2|h3|h4)[^>]*>", "\n\n# ");
    text = replace(&text, r#"<input[^>]* type="radio"[^>]* checked[^>]*>"#, "(x)");
    text = replace(&text, r#"<input[^>]*type="radio"[^>]*>"#, "( )");
    text = replace(
        &text,
        r"</?(p|div|section|tr|li|dl|dt|dd|pre|details|summary|fieldset|legend|form|label|textarea|nav|header|main|ol|table)\b[^>]*>",
        "\n",
    );
    text = replace(&text, r"</?a\b[^>]*>", " ");
    text = replace(&text, r"<[^>]*>", "");
    let entities = Regex::new("&(lt|gt|quot|amp|#39);").unwrap();
    let text = entities.replace_all(&text, |found: &Captures<'_>| match &found[1] {
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "amp" => "&",
        _ => "'",
    });
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_complete_run() {
    let harness = Harness::open(Scenario::trivial(1, 1)).await;
    insta::assert_snapshot!("no_runs", page(&harness, "/").await);
    insta::assert_snapshot!("no_failed_runs", page(&harness, "/?state=failed").await);
    insta::assert_snapshot!("no_merges_waiting", page(&harness, "/merges?state=waiting").await);
    insta::assert_snapshot!("docs", page(&harness, "/docs").await);

    let run = harness.client.submit(&harness.new_run(), None).await.unwrap();
    let mut events = harness.client.events(run.id, 0);
    while events.next().await.is_some() {}
    insta::assert_snapshot!("runs", page(&harness, "/").await);
    insta::assert_snapshot!("complete_run", page(&harness, &format!("/runs/{}", run.short)).await);
    insta::assert_snapshot!("merges", page(&harness, "/merges").await);
    let merges = harness.client.merges(&run.short).await.unwrap().merges;
    insta::assert_snapshot!(
        "landed_merge",
        page(&harness, &format!("/merges/{}", merges[0].id)).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_waiting_merge() {
    let harness = Harness::open(waiting::scenario()).await;
    let (_, merge) = waiting::waiting(&harness).await;
    // Either of the two tasks can be the first to land.
    let own = |page: String| {
        let other = if merge.merge.task == "left" { "right" } else { "left" };
        page.replace(&merge.merge.task, "[task]").replace(other, "[other task]")
    };
    let path = format!("/merges/{}", merge.merge.id);
    insta::assert_snapshot!("waiting_merge", own(page(&harness, &path).await));
    insta::assert_snapshot!("merges_waiting", own(page(&harness, "/merges?state=waiting").await));
}

#[test]
fn openapi_document() {
    let mut document = serde_json::to_value(server::openapi()).unwrap();
    document["info"]["version"] = "[version]".into();
    insta::assert_json_snapshot!("openapi", document);
}
