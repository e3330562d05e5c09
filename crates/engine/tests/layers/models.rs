//! The model layer: second opinions, layers that are off, cancelled calls.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn layer_that_is_off_is_not_asked() {
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
async fn second_opinion_is_shown_the_first_answer() {
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
async fn cancelled_run_ends_work_on_its_conflict() {
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
    // The call is abandoned long before its timeout, and nothing more is recorded.
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

#[tokio::test(flavor = "multi_thread")]
async fn decision_that_does_not_parse_goes_back_to_the_model() {
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
async fn restart_repeats_no_decision_of_a_model() {
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
