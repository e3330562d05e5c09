//! A merge that waits for a person, from the command line.

use api::{ModelChoice, NewRun, OrchConfig, RunLimits};
use e2e::{Product, done, eventually, orchestrator, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};

const PATH: &str = "src/a.txt";

/// Two tasks that change the same line, and a resolver that declines.
fn scenario() -> Scenario {
    let edit = |key: &str| {
        let edit = json!({"path": PATH, "old": "two\n", "new": format!("{key}\n")});
        Rule::worker(key).call("edit_file", edit).call("finish", done())
    };
    let decline = json!({"decision": "decline", "text": "", "reason": "they exclude each other", "dropped_lines": []});
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("left", &[]), ("right", &[])])),
        edit("left"),
        edit("right"),
        Rule::resolver("*").json(&decline),
    ])
}

#[tokio::test]
async fn waiting_merge_is_listed_checked_out_decided_and_landed() {
    let mut product = Product::start(scenario()).await;
    let repository = product.repository("work", &[(PATH, "one\ntwo\n")]);
    let model = || {
        Some(ModelChoice {
            provider: "openai".into(),
            model_name: "scripted".into(),
        })
    };
    let new = NewRun {
        objective: "Do what the plan says".into(),
        workspace_path: repository.display().to_string(),
        initialise: false,
        orch_config: OrchConfig {
            director_model: model(),
            worker_model: model(),
            limits: RunLimits {
                failures: Some(1),
                ..RunLimits::default()
            },
            ..OrchConfig::default()
        },
    };
    let run = product.client.submit(&new, None).await.expect("the run is taken").id;

    let place = product.directory.path().to_owned();
    let data_dir = product.data_dir().display().to_string();
    let call = move |arguments: &[&str]| {
        let mut all = vec!["--data-dir", data_dir.as_str()];
        all.extend(arguments);
        let output = orchestrator(&all, &[("USER", "Ann")], &place);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let waiting = eventually("a merge waits", || async {
        let lines = product.client.merge_summaries(None, 10).await.ok()?.merges;
        lines.into_iter().find(|line| line.state.as_str() == "waiting")
    })
    .await;
    let id = waiting.id.to_string();

    let (code, listed, _) = call(&["merges"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains("waits for you") && listed.contains(PATH), "{listed}");
    assert!(listed.contains(&format!("merges show {id}")), "{listed}");
    let (_, shown, _) = call(&["merges", "show", &id]);
    for part in [
        "they exclude each other",
        "ours:",
        &format!("merges checkout {id} merge-{id}"),
        "--note",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (_, json, _) = call(&["merges", "show", &id, "--json"]);
    let document: Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(
        (&document["state"], &document["files"][0]["path"]),
        (&json!("waiting"), &json!(PATH))
    );
    assert!(call(&["runs"]).1.contains("! 1 merge waits for you"));
    let (_, report, _) = call(&["show", &run.to_string()]);
    assert!(report.contains(&format!("merges show {id}")), "{report}");
    assert!(report.contains("waits for you: conflict in"), "{report}");

    // Invalid decisions are rejected with a reason, and change nothing.
    let place = product.directory.path();
    let directory = place.join("decide");
    let directory_name = directory.display().to_string();
    let none = place.join("none").display().to_string();
    let refused: [(&[&str], &str); 7] = [
        (&["merges", "resolve", &id], "no path is decided"),
        (
            &["merges", "resolve", &id, "--ours", "src/b.txt"],
            "src/b.txt does not conflict",
        ),
        (&["merges", "resolve", &id, "--file", "src/a.txt"], "--file PATH=FILE"),
        (&["merges", "resolve", &id, "--from", &none], "merges checkout"),
        (&["merges", "resolve", "99", "--ours", PATH], "there is no merge 99"),
        (&["merges", "return", &id, "--note", " "], "it is empty"),
        (&["merges", "show", "99"], "there is no merge 99"),
    ];
    for (arguments, words) in refused {
        let (code, _, text) = call(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    let (code, written, _) = call(&["merges", "checkout", &id, &directory_name]);
    assert_eq!(code, Some(0));
    assert!(
        written.contains(&format!("merges resolve {id} --from {directory_name}")),
        "{written}"
    );
    let (code, _, text) = call(&["merges", "checkout", &id, &directory_name]);
    assert!(code == Some(2) && text.contains("is not overwritten"), "{text}");
    let (code, _, text) = call(&["merges", "resolve", &id, "--from", &directory_name]);
    assert!(
        code == Some(2) && text.contains(PATH) && text.contains("line 2"),
        "{text}"
    );

    // Passed to the layers again, which can't decide it either.
    let asked = product.journal().len();
    let (code, text, error) = call(&["merges", "resolve", &id, "--layers", PATH]);
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("in the queue again"), "{text}");
    eventually("the merge waits again", || async {
        let lines = product.client.merge_summaries(None, 10).await.ok()?.merges;
        let waits = lines.into_iter().any(|line| line.state.as_str() == "waiting");
        (waits && product.journal().len() > asked).then_some(())
    })
    .await;

    // It can be shown without a server, and showing continues nothing.
    product.kill().await;
    let asked = product.journal().len();
    for words in [
        &["runs"][..],
        &["merges"],
        &["merges", "show", &id],
        &["logs", &run.to_string()],
    ] {
        let (code, _, error) = call(words);
        assert_eq!(code, Some(0), "{words:?}: {error}");
    }
    assert_eq!(product.journal().len(), asked);
    product.start_again().await;

    std::fs::write(directory.join(PATH), "one\nleft\nright\n").expect("the file is decided");
    let (code, text, error) = call(&["merges", "resolve", &id, "--from", &directory_name]);
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("in the queue again") && text.contains("follow"), "{text}");
    assert_eq!(product.end(run).await["state"], "complete");
    let text = std::fs::read_to_string(repository.join(PATH)).expect("the file has landed");
    assert_eq!(text, "one\nleft\nright\n");
    assert!(call(&["merges"]).1.contains("nothing waits for you"));
    let (_, shown, _) = call(&["merges", "show", &id]);
    assert!(shown.contains("person resolved: Ann decided"), "{shown}");
    let (code, _, text) = call(&["merges", "resolve", &id, "--ours", PATH]);
    assert!(code == Some(2) && text.contains("it is landed"), "{text}");
}
