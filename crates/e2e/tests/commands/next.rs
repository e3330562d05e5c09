//! The next commands of a report fit the state of the repository, and work through a shell.

use crate::caller::Caller;
use e2e::{done, git, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::path::Path;

/// A commit on what is checked out.
fn commit(repository: &Path, file: &str) {
    std::fs::write(repository.join(file), "2\n").unwrap();
    git(repository, &["add", file]);
    let identity = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    git(repository, &[&identity[..], &["commit", "-qm", "another"]].concat());
}

/// One task that makes a file.
fn one_file() -> Scenario {
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .call("write_file", json!({"path": "made", "content": "1\n"}))
            .call("finish", done()),
    ])
}

fn holds<'a>(commands: &'a [(String, String)], words: &str) -> Option<&'a str> {
    let found = commands.iter().find(|(command, _)| command.contains(words));
    found.map(|(_, printed)| printed.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_forwarded_run_offers_its_change_and_no_merge() {
    let mut caller = Caller::new(one_file(), "").await;
    let repository = caller.product.repository("a repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, None).await;
    assert_eq!(caller.product.end(run).await["state"], "complete");
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " diff ").unwrap().contains("+++ b/made"));
    assert!(
        !holds(&commands, " log ").unwrap().contains("first"),
        "the whole history"
    );
    assert_eq!(holds(&commands, " merge "), None);

    // Without a server, too.
    assert_eq!(caller.product.stop().await, Some(0));
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " diff ").unwrap().contains("+++ b/made"));
    caller.product.start_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unmerged_branch_is_merged_by_the_printed_command_once() {
    let mut caller = Caller::new(one_file(), "").await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    git(&repository, &["config", "user.name", "U"]);
    git(&repository, &["config", "user.email", "u@localhost"]);
    git(&repository, &["switch", "-q", "-c", "other"]);
    commit(&repository, "b");
    git(&repository, &["switch", "-q", "main"]);
    // Uncommitted work keeps the checkout from being moved.
    std::fs::write(repository.join("a"), "changed\n").unwrap();
    let run = caller.product.submit(&repository, None).await;
    assert_eq!(caller.product.end(run).await["state"], "complete");
    git(&repository, &["checkout", "-q", "a"]);
    git(&repository, &["switch", "-q", "other"]);
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " merge ").is_some(), "{commands:?}");
    assert!(repository.join("made").is_file());

    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert_eq!(holds(&commands, " merge "), None);
    // The branch may go once it is merged.
    git(&repository, &["branch", "-D", &format!("orchestrator/{}", run.short())]);
    caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert_eq!(caller.product.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_without_a_branch_offers_its_log_and_repository() {
    let caller = Caller::new(one_file(), "").await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, Some("false")).await;
    caller.product.client.cancel(&run.to_string()).await.unwrap();
    let state = caller.product.end(run).await["state"].clone();
    assert_eq!(state, "cancelled");
    caller.follow_up(&caller.call(&["show", &run.to_string()]));
}
