//! The product with a third-party OpenAI-compatible server. Skipped only without npm.

use e2e::{Product, aimock::Aimock, git, orchestrator};
use serde_json::Value;
use sim_llm::Scenario;
use std::path::Path;

/// Passes before the greeting is finished, and afterwards only if the second file quotes the first.
const CHECK: &str = "test ! -e greeting/world.txt || (head -n 1 greeting/world.txt | cmp - greeting/hello.txt)";

/// Director once, two turns for the first task, three for the second.
const CALLS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn server_completes_a_run_with_third_party_models() {
    let directory = e2e::directory();
    let Some(aimock) = Aimock::start(directory.path()).await else {
        return;
    };
    let product = Product::start_with(Scenario::default(), &[("OPENAI_BASE_URL", &aimock.base_url)]).await;
    let repository = product.repository("greeting", &[("README.md", "read me\n")]);

    let run = product.submit(&repository, Some(CHECK)).await;
    let run = product.end(run).await;

    assert_eq!(run["state"], "complete", "{run}\n{}", product.log());
    assert_eq!(run["tasks"]["complete"], 2, "{run}");
    greeting_is_on_the_branch(&repository, run["branch"].as_str().expect("the run names its branch"));
    strict_journal(&aimock).await;
    assert!(product.journal().is_empty(), "only aimock was asked");
    every_call_is_counted(&product).await;
}

#[tokio::test]
async fn command_line_completes_a_run_with_third_party_models() {
    let directory = e2e::directory();
    let Some(aimock) = Aimock::start(directory.path()).await else {
        return;
    };
    let repository = e2e::repository(&directory.path().join("greeting"), &[("README.md", "read me\n")]);
    let data_dir = directory.path().join("data").display().to_string();

    let model = "openai/gpt-4o";
    let arguments = [
        "run",
        "Greet the world in two files",
        "--json",
        "--data-dir",
        &data_dir,
        "--check",
        CHECK,
    ];
    let arguments = [&arguments[..], &["--director-model", model, "--worker-model", model]].concat();
    let environment = [
        ("OPENAI_BASE_URL", aimock.base_url.as_str()),
        ("OPENAI_API_KEY", "sk-0123456789abcdef"),
    ];
    let output = orchestrator(&arguments, &environment, &repository);

    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{stderr}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["state"], "complete", "{report}");
    greeting_is_on_the_branch(
        &repository,
        report["branch"].as_str().expect("the report names the branch"),
    );
    strict_journal(&aimock).await;
}

fn greeting_is_on_the_branch(repository: &Path, branch: &str) {
    assert_eq!(
        git(repository, &["show", &format!("{branch}:greeting/hello.txt")]),
        "hello"
    );
    assert_eq!(
        git(repository, &["show", &format!("{branch}:greeting/world.txt")]),
        "hello\nworld"
    );
}

/// Every request had a fixture, was a stream with usage, and workers had tools.
async fn strict_journal(aimock: &Aimock) {
    let journal = aimock.journal().await;
    assert_eq!(journal.len(), CALLS, "{journal:#?}");
    for entry in &journal {
        assert_eq!(entry["response"]["status"], 200, "{entry:#}");
        let body = &entry["body"];
        assert_eq!(body["stream"], true, "{body:#}");
        assert_eq!(body["stream_options"]["include_usage"], true, "{body:#}");
    }
    let with_tools = journal.iter().filter(|entry| entry["body"]["tools"].is_array()).count();
    assert_eq!(with_tools, CALLS - 1, "all but the director's");
}

/// The ledger has the usage of each stream with its price.
async fn every_call_is_counted(product: &Product) {
    let counted: (i64, i64) = sqlx::query_as(
        "select count(*), \
         count(*) filter (where state = 'settled' and input_tokens > 0 and output_tokens > 0 and cost > 0) \
         from model_call",
    )
    .fetch_one(&product.database().await)
    .await
    .expect("the ledger can be read");
    let calls = i64::try_from(CALLS).expect("a small number");
    assert_eq!(counted, (calls, calls));
}
