//! Failures are counted as exactly as successes.

use crate::{
    demo, equals_the_journal, is_at_rest,
    rows::{Rows, models_equal_the_ledger, tasks_equal_the_rows},
    scrape,
};
use e2e::{Product, done, eventually, plan};
use serde_json::json;
use sim_llm::{Fault, Rule, Scenario, Status};

/// A run with every fault of a provider, one that a worker abandons, and one that is cancelled during a call.
fn scenario() -> Scenario {
    let planned = |objective: &str, tasks: &[(&str, &[&str])]| Rule::director().contains(objective).json(&plan(tasks));
    let fault = |fault: Fault| Rule::worker("tried").turn(1).times(1).fault(fault);
    Scenario::from_rules(vec![
        planned("Meet every fault", &[("tried", &[])]),
        planned("Be given up", &[("refused", &[]), ("waiting", &["refused"])]),
        planned("Be cancelled", &[("endless", &[])]),
        fault(Fault::status(500)),
        fault(Fault::too_many_requests("0.1")),
        fault(Fault::Garbage),
        fault(Fault::Reset),
        Rule::worker("tried")
            .call("write_file", json!({"path": "new", "content": "1\n"}))
            .call("finish", done()),
        Rule::worker("refused")
            .turn(1)
            .call("read_file", json!({"path": "missing"}))
            .call("no_such_tool", json!({})),
        Rule::worker("refused").call("finish", json!({"outcome": "impossible", "summary": "no"})),
        Rule::worker("endless")
            .turn(1)
            .call("shell", json!({"command": "exit 3"})),
        Rule::worker("endless").fault(Fault::Hang),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_failures_and_cancellations_are_counted_once() {
    let product = Product::start(scenario()).await;
    let repository = product.repository("repository", &[("README.md", "read me\n")]);
    let submit = async |objective| demo::submit_for(&product, &repository, objective, "test -f README.md").await;
    let (tried, refused) = (submit("Meet every fault").await, submit("Be given up").await);
    let endless = submit("Be cancelled").await;
    eventually("the model hangs", || async {
        product
            .journal()
            .iter()
            .any(|entry| entry.status == Status::Hang)
            .then_some(())
    })
    .await;
    let cancel = format!("{}/runs/{endless}/cancel", product.address);
    assert!(
        reqwest::Client::new()
            .post(cancel)
            .send()
            .await
            .expect("an answer")
            .status()
            .is_success()
    );
    for (run, state) in [(tried, "complete"), (refused, "failed"), (endless, "cancelled")] {
        assert_eq!(product.end(run).await["state"], state, "{}", product.log());
    }
    eventually("every event is counted", || async {
        is_at_rest(&scrape(&product).await, 3.0, 4.0).then_some(())
    })
    .await;

    let (scrape, database) = (scrape(&product).await, product.database().await);
    equals_the_journal(&scrape, &product.journal());
    let rows = Rows {
        database: &database,
        scrape: &scrape,
    };
    tasks_equal_the_rows(&rows).await;
    models_equal_the_ledger(&rows).await;
    let ends = scrape.by("run_total", &["status"]);
    assert!(ends.values().all(|count| *count == 1.0), "{ends:?}");
    let tools = scrape.by("tool_executions_total", &["tool_name", "status"]);
    for (name, status) in [
        ("read_file", "failed"),
        ("other", "failed"),
        ("shell", "completed"),
        ("write_file", "completed"),
    ] {
        assert_eq!(
            tools[&vec![name.to_owned(), status.to_owned()]],
            1.0,
            "{name}: {tools:?}"
        );
    }
    let thrown_away = "
        select array[]::text[], sum(c.cost) / 1e9 from model_call c join task t on t.id = c.task
        where t.state <> 'complete'";
    rows.counter("llm_discarded_cost_dollars_total", &[], thrown_away).await;
}
