//! Repositories in unusual formats, and with locks that a crash of the user's git left.

use crate::support::{body, get, goes_on, post, run, says};
use e2e::{Product, done, git, orchestrator, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

async fn product() -> Product {
    Product::start(Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("only", &[])])),
        Rule::worker("only")
            .call("write_file", json!({"path": "src/made", "content": "1\n"}))
            .call("finish", done()),
    ]))
    .await
}

fn show(product: &Product, id: &str) -> String {
    let data_dir = product.data_dir();
    let arguments = ["show", id, "--data-dir", data_dir.to_str().unwrap()];
    let output = orchestrator(&arguments, &[], product.directory.path());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A repository that was made by `git init` with one more argument, and has a commit.
fn of_format(directory: &Path, argument: &str) -> PathBuf {
    let path = directory.join(argument.trim_start_matches("--").replace('=', "-"));
    run("git", &["init", "-q", argument, &path.display().to_string()]);
    let identity = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    git(
        &path,
        &[&identity[..], &["commit", "-q", "--allow-empty", "-m", "first"]].concat(),
    );
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_that_are_not_supported_are_refused_with_their_way_out() {
    let product = product().await;
    let directory = product.directory.path();
    let partial = product.repository("partial", &[("a", "1\n")]);
    git(&partial, &["config", "remote.origin.promisor", "true"]);
    let unknown = product.repository("unknown", &[("a", "1\n")]);
    git(&unknown, &["config", "core.repositoryFormatVersion", "1"]);
    git(&unknown, &["config", "extensions.whatComesNext", "7"]);
    for (path, words) in [
        (of_format(directory, "--object-format=sha256"), ["SHA-1", "fast-import"]),
        (
            of_format(directory, "--ref-format=reftable"),
            ["reference storage", "refs migrate"],
        ),
        (partial, ["partial clone", "git fetch --refetch"]),
        (unknown, ["extensions.whatcomesnext = 7", "git clone"]),
    ] {
        let problem = post(&product, &body(&path, "scripted")).await.problem(409, "unusable");
        assert_eq!(problem["field"], "workspace_path");
        says(&problem.to_string(), &words);
    }
    assert_eq!(get(&product, "/runs").await.json()["runs"], json!([]));
    assert!(product.journal().is_empty(), "a model was called");
    goes_on(&product).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn split_and_sparse_checkouts_go_forward_with_a_run() {
    let product = product().await;
    for (name, preparation) in [
        ("split", &["update-index", "--split-index"][..]),
        ("sparse", &["sparse-checkout", "set", "--cone", "--sparse-index", "src"]),
    ] {
        let repository = product.repository(name, &[("src/a", "1\n"), ("docs/b", "2\n")]);
        git(&repository, preparation);
        let id = product.submit(&repository, Some("true")).await;
        assert_eq!(product.end(id).await["state"], "complete");
        assert_eq!(git(&repository, &["status", "--porcelain"]), "", "{name}");
        assert!(
            repository.join("src/made").exists(),
            "{name}: {}",
            show(&product, &id.to_string())
        );
        assert_eq!(repository.join("docs").exists(), name == "split");
    }
    goes_on(&product).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_lock_of_the_user_is_reported_and_the_branch_delivered() {
    let product = product().await;
    let repository = product.repository("repository", &[("a", "1\n")]);
    let lock = repository.join(".git/index.lock");
    let long_ago = SystemTime::now() - Duration::from_secs(5 * 3_600);
    File::create(&lock).unwrap().set_modified(long_ago).unwrap();
    let id = product.submit(&repository, Some("true")).await;
    assert_eq!(product.end(id).await["state"], "complete");
    let shown = show(&product, &id.to_string());
    // Lines are broken where the terminal ends.
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    says(
        &shown,
        &["index.lock was written 5 h ago", "no process", "remove it with `rm "],
    );
    assert!(git(&repository, &["branch", "--list", "orchestrator/*"]).contains("orchestrator/"));
    assert!(lock.exists() && !repository.join("src/made").exists());
    goes_on(&product).await;
}
