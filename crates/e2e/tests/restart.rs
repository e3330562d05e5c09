//! The server is killed at a known point and started again: the run completes, nothing is lost, nothing is twice.

use e2e::{Product, done, eventually, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_a_tool_goes_on_where_it_was() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", json!({"path": "first", "content": "1\n"}))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "echo half > second; sleep 2"})),
        Rule::worker("second")
            .turn(2)
            .call("write_file", json!({"path": "second", "content": "2\n"}))
            .call("finish", done()),
    ]);
    let mut product = Product::start(scenario).await;
    let repository = product.repository("repository", &[("README.md", "read me\n")]);
    let run = product.submit(&repository, Some("test -f README.md")).await;
    let database = product.database().await;
    eventually("the tool's intent is recorded", || async {
        sqlx::query("select 1 from tool_call where name = 'shell' and result is null")
            .fetch_optional(&database)
            .await
            .unwrap()
    })
    .await;
    product.kill().await;
    product.start_again().await;
    assert_eq!(product.end(run).await["state"], "complete");
    assert_eq!(product.calls_for("first"), 1);
}
