//! Integrity flags, as clients and browsers see them, and the consent.

use crate::harness::{Harness, answer};
use domain::{integrity::IntegrityFlagKind, run::RunState};
use reqwest::Method;
use serde_json::json;
use sim_llm::{Rule, Scenario, answers};
use std::{path::Path, process::Command, time::Duration};

fn git(path: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    let output = Command::new("git")
        .current_dir(path)
        .args(identity)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn flagged_run_moves_checkout_only_with_consent() {
    let worker = Rule::worker("work").call("shell", json!({"command": "echo 'exit 0' > test.sh"}));
    let harness = Harness::open(Scenario::from_rules(vec![
        Rule::director().json(&answers::plan(&[("work", &[])])),
        worker.call("finish", answers::done()),
    ]))
    .await;
    let mut new = harness.new_run();
    let repository = Path::new(&new.workspace_path).to_owned();
    std::fs::create_dir_all(&repository).unwrap();
    std::fs::write(repository.join("test.sh"), "echo 1..1; echo ok 1\n").unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "first"]);
    new.orch_config.check = Some("sh test.sh".into());
    let accepted = harness.client.submit(&new, None).await.unwrap();
    let mut events = harness.client.events(accepted.id, 0);
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        kinds.push(event.unwrap().kind);
    }
    assert!(kinds.iter().any(|kind| kind == "integrity_flagged"), "{kinds:?}");

    let run = harness.client.run(&accepted.short).await.unwrap();
    assert_eq!((run.state, run.allow_integrity_flags), (RunState::Complete, false));
    let flag = &run.integrity_flags[0];
    assert_eq!(
        (flag.kind, flag.path.as_deref()),
        (IntegrityFlagKind::CheckChanged, Some("test.sh"))
    );
    let merges = harness.client.merges(&accepted.short).await.unwrap().merges;
    assert_eq!(merges[0].integrity_flags, run.integrity_flags);
    for path in [format!("/runs/{}", accepted.short), format!("/merges/{}", flag.merge)] {
        let page = answer(harness.ask(Method::GET, &path).header("Accept", "text/html")).await;
        assert!(
            page.text.contains("Integrity flags") && page.text.contains("check changed"),
            "{path}"
        );
    }

    let deliver = format!("/runs/{}/deliver", accepted.short);
    let (status, _, field, _) = harness
        .post(&deliver, r#"{"allow_integrity_flags": "yes"}"#)
        .await
        .problem();
    assert_eq!((status, field.as_deref()), (422, Some("allow_integrity_flags")));
    let main = git(&repository, &["rev-parse", "main"]);
    for (body, moved) in [
        (None, false),
        (Some("{}"), false),
        (Some(r#"{"allow_integrity_flags": true}"#), true),
    ] {
        let asked = match body {
            Some(body) => harness.post(&deliver, body).await,
            None => answer(harness.ask(Method::POST, &deliver)).await,
        };
        assert_eq!(asked.status, 202, "{}", asked.text);
        let over = async {
            while harness.client.run(&accepted.short).await.unwrap().delivery.in_progress {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), over).await.unwrap();
        assert_eq!(git(&repository, &["rev-parse", "main"]) != main, moved, "{body:?}");
    }
}
