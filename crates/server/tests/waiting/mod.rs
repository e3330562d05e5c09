//! Facts about merges that wait for a person, over HTTP and on their pages.

use crate::harness::{Answer, Harness, answer};
use api::{MergeDetail, NewRun, PathDecision, RejectRequest, ResolveRequest, RunLimits};
use domain::{RunId, merge::MergeState, run::RunState};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::json;
use sim_llm::{
    Rule, Scenario,
    answers::{done, plan},
};

/// Two tasks that add the same lines to a file of the first, and a resolver that declines.
pub(crate) fn scenario() -> Scenario {
    let edit = |key: &str| {
        let edit = json!({"path": "a.txt", "old": "<two>\n", "new": format!("<{key}>\n")});
        Rule::worker(key).call("edit_file", edit).call("finish", done())
    };
    let decline = json!({"decision": "decline", "text": "", "reason": "they exclude each other", "dropped_lines": []});
    let first = json!({"path": "a.txt", "content": "one\n<two>\n"});
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("left", &["first"]), ("right", &["first"])])),
        Rule::worker("first").call("write_file", first).call("finish", done()),
        edit("left"),
        edit("right"),
        Rule::resolver("*").json(&decline),
    ])
}

/// A run, one of whose merges waits.
pub(crate) async fn waiting(harness: &Harness) -> (RunId, MergeDetail) {
    let mut new: NewRun = harness.new_run();
    new.orch_config.limits = RunLimits {
        failures: Some(1),
        ..RunLimits::default()
    };
    let run = harness.client.submit(&new, None).await.unwrap().id;
    (run, asked(harness, run).await)
}

/// Follows the run until a merge of it waits.
async fn asked(harness: &Harness, run: RunId) -> MergeDetail {
    let mut events = harness.client.events(run, 0);
    while let Some(event) = events.next().await {
        if event.unwrap().kind == "merge_waiting" {
            let lines = harness
                .client
                .merge_summaries(Some(MergeState::Waiting), 10)
                .await
                .unwrap()
                .merges;
            assert_eq!((lines.len(), lines[0].run), (1, run));
            assert_eq!(lines[0].conflicts, ["a.txt"]);
            return harness.client.merge(lines[0].id).await.unwrap();
        }
    }
    panic!("no merge waited");
}

async fn ended(harness: &Harness, run: RunId) -> RunState {
    let mut events = harness.client.events(run, 0);
    while events.next().await.is_some() {}
    harness.client.run(&run.to_string()).await.unwrap().state
}

/// The body that a browser sends for a form.
fn fields(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let mut url = Url::parse("form:").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    request.body(url.query().unwrap_or_default().to_owned())
}

async fn page(harness: &Harness, path: &str) -> Answer {
    answer(harness.ask(Method::GET, path).header("Accept", "text/html")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_merge_is_shown_decided_and_lands() {
    let harness = Harness::open(scenario()).await;
    let (run, detail) = waiting(&harness).await;
    let id = detail.merge.id;
    assert_eq!(detail.merge.state, MergeState::Waiting);
    assert!(detail.merge.reason.unwrap().message.contains("they exclude each other"));
    assert_eq!((detail.files.len(), detail.files[0].hunks.len()), (1, 1));
    assert_eq!(detail.files[0].hunks[0].base, "<two>\n");
    let runs = harness.client.runs(None, None, 10).await.unwrap().runs;
    assert_eq!(runs[0].merges_waiting, 1);

    // What can't be used names the value, and changes nothing.
    let path = format!("/merges/{id}/resolution");
    let refused =
        async |paths: serde_json::Value| harness.post(&path, json!({"paths": paths}).to_string()).await.problem();
    let marked = detail.files[0].text_with_markers.clone().unwrap();
    let (status, kind, field, value) =
        refused(json!([{"path": "a.txt", "decision": "content", "content": marked}])).await;
    assert_eq!(
        (status, kind.as_str(), field.as_deref()),
        (422, "invalid-value", Some("paths"))
    );
    assert_eq!(value, Some(json!("a.txt")));
    assert_eq!(
        refused(json!([{"path": "b.txt", "decision": "ours"}])).await.3,
        Some(json!("b.txt"))
    );
    assert_eq!(
        refused(json!([{"path": "a.txt", "decision": "mine"}])).await.3,
        Some(json!("mine"))
    );
    assert_eq!(refused(json!([{"path": "a.txt", "decision": "content"}])).await.0, 422);
    let layers = json!([{"path": "a.txt", "decision": "layers", "content": "x"}]);
    assert_eq!(refused(layers).await.3, Some(json!("layers")));
    assert_eq!(refused(json!([])).await.0, 422);
    assert_eq!(
        harness
            .post("/merges/99/resolution", "{\"paths\": []}")
            .await
            .problem()
            .1,
        "unknown-merge"
    );
    assert_eq!(harness.get("/merges/x").await.problem().1, "unknown-merge");
    assert_eq!(harness.get("/merges?state=late").await.problem().3, Some(json!("late")));
    let (status, kind, ..) = harness
        .post(&format!("/merges/{id}/return"), "{\"note\": \"\"}")
        .await
        .problem();
    assert_eq!((status, kind.as_str()), (422, "invalid-value"));
    assert_eq!(harness.client.merge(id).await.unwrap().merge.state, MergeState::Waiting);

    let answer = ResolveRequest {
        paths: vec![PathDecision {
            path: "a.txt".into(),
            decision: "content".into(),
            content: Some("one\n<left>\n<right>\n".into()),
        }],
        tip: detail.merge.tip,
        by: Some("Ann".into()),
    };
    let answered = harness.client.resolve_merge(id, &answer).await.unwrap();
    assert_eq!((answered.id, answered.run), (id, run));
    assert_eq!(ended(&harness, run).await, RunState::Complete);
    let text = std::fs::read_to_string(harness.directory.path().join("workspace/a.txt")).unwrap();
    assert_eq!(text, "one\n<left>\n<right>\n");
    let (status, kind, ..) = harness.post(&path, json!(answer).to_string()).await.problem();
    assert_eq!((status, kind.as_str()), (409, "not-waiting"));
    let shown = page(&harness, &format!("/merges/{id}")).await;
    assert!(
        shown.text.contains("Ann decided") && !shown.text.contains("<form"),
        "{}",
        shown.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_is_decided_with_page_forms() {
    let harness = Harness::open(scenario()).await;
    let (run, detail) = waiting(&harness).await;
    let address = format!("/merges/{}", detail.merge.id);
    let shown = page(&harness, &address).await;
    assert!(shown.header("content-security-policy").contains("form-action 'self'"));
    // Under `no-referrer` a browser would not name our own page as the origin of its form.
    assert_eq!(shown.header("referrer-policy"), "same-origin");
    for part in [
        "waits for you",
        "they exclude each other",
        "name=\"decision.0\"",
        "&lt;two&gt;",
        "merges checkout",
    ] {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }
    assert!(page(&harness, "/merges?state=waiting").await.text.contains(&address));
    assert!(page(&harness, &format!("/runs/{run}")).await.text.contains(&address));

    let send = async |origin: &str, content: &str| {
        let tip = detail.merge.tip.clone().unwrap();
        let form = [
            ("tip", tip.as_str()),
            ("path.0", "a.txt"),
            ("decision.0", "content"),
            ("content.0", content),
        ];
        let request = harness.ask(Method::POST, &format!("{address}/resolution"));
        answer(fields(request.header("Origin", origin), &form)).await
    };
    assert_eq!(send("http://evil.example", "x\r\n").await.status, 403);
    let wrong = send(&harness.address, "mine\r\n<<<<<<< ours\r\n").await;
    assert_eq!(wrong.status, 422);
    for part in ["role=\"alert\"", "line 2", "mine\n&lt;&lt;&lt;&lt;&lt;&lt;&lt; ours"] {
        assert!(wrong.text.contains(part), "{part}: {}", wrong.text);
    }
    let right = send(&harness.address, "one\r\n<both>\r\n").await;
    // The client went where it was sent: to the merge itself.
    assert_eq!(
        (right.status, right.json()["id"].as_i64()),
        (200, Some(detail.merge.id))
    );
    assert_eq!(ended(&harness, run).await, RunState::Complete);
    let text = std::fs::read_to_string(harness.directory.path().join("workspace/a.txt")).unwrap();
    assert_eq!(text, "one\n<both>\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_work_is_returned_with_note() {
    let harness = Harness::open(scenario()).await;
    let (run, detail) = waiting(&harness).await;
    let back = harness.ask(Method::POST, &format!("/merges/{}/return", detail.merge.id));
    let back = answer(fields(back, &[("note", "try once more")])).await;
    assert_eq!((back.status, back.json()["state"].as_str()), (200, Some("rejected")));
    let mut events = harness.client.events(run, 0);
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        let again = event.kind == "task_claimed" && event.data["attempt"] == 2;
        if again || event.data.to_string().contains("try once more") {
            told.push(event.kind);
        }
    }
    assert_eq!(told, ["merge_ended", "task_returned", "task_claimed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_work_fails_run_with_given_reason() {
    let harness = Harness::open(scenario()).await;
    let (run, detail) = waiting(&harness).await;
    let work = RejectRequest {
        reason: "not worth it".into(),
        by: Some("Ann".into()),
    };
    let answered = harness.client.reject_merge(detail.merge.id, &work).await.unwrap();
    assert_eq!(answered.state, MergeState::Rejected);
    assert_eq!(ended(&harness, run).await, RunState::Failed);
    let reason = harness.client.run(&run.to_string()).await.unwrap().reason.unwrap();
    assert!(
        reason.message.contains("Ann gave the work up: not worth it"),
        "{reason:?}"
    );
}
