//! Invalid plans are sent back to the model, and finally replaced by one task with the objective.

use crate::support::{body, get, goes_on, post, says};
use e2e::{Product, done, plan};
use futures_util::future::join_all;
use serde_json::json;
use sim_llm::{Rule, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn invalid_plan_is_sent_back_and_then_replaced_by_one_task() {
    let cyclic = plan(&[("one", &["two"]), ("two", &["one"])]);
    let mut strange = plan(&[("one", &[])]);
    strange["tasks"][0]["profile"] = json!("wizard");
    let mut empty = plan(&[]);
    empty["tasks"] = json!([]);
    let twice = plan(&[("one", &[]), ("one", &[])]);
    let missing = plan(&[("one", &["nobody"])]);
    let worker = |key: &str| {
        let write = json!({"path": "b", "content": "2\n"});
        Rule::worker(key).call("write_file", write).call("finish", done())
    };
    let plans = [
        ("cyclic", cyclic, "one"),
        ("profile", strange.clone(), "wizard"),
        ("empty", empty, "no tasks"),
        ("twice", twice, "one"),
        ("missing", missing, "nobody"),
    ];
    let mut rules: Vec<Rule> = plans
        .iter()
        .map(|(name, plan, _)| Rule::director().model(name).json(plan))
        .collect();
    rules.push(Rule::director().model("mended").turn(1).json(&strange));
    rules.push(
        Rule::director()
            .model("mended")
            .turn(2)
            .contains("wizard")
            .json(&plan(&[("mended-task", &[])])),
    );
    rules.push(worker("*"));
    let product = Product::start_with(Scenario::from_rules(rules), &[("ORCHESTRATOR_WORKERS", "8")]).await;

    let names: Vec<&str> = plans.iter().map(|(name, ..)| *name).chain(["mended"]).collect();
    let runs = join_all(names.iter().map(async |name| {
        let workspace = product.repository(name, &[("a", "1\n")]);
        let accepted = post(&product, &body(&workspace, name)).await.json();
        product.end(accepted["id"].as_str().unwrap().parse().unwrap()).await
    }))
    .await;
    for ((name, run), said) in names
        .iter()
        .zip(&runs)
        .zip(plans.iter().map(|(.., said)| *said).chain(["wizard"]))
    {
        let run_id = run["id"].as_str().unwrap();
        let events = get(&product, &format!("/runs/{run_id}/events")).await.text;
        assert_eq!(run["state"], "complete", "{name}: {run:#}\n{events}");
        assert_eq!(run["tasks"]["complete"], 1, "{name}: {run:#}");
        says(&events, &[said]);
        let asked = product
            .journal()
            .iter()
            .filter(|entry| entry.model == *name && entry.role == "director")
            .count();
        match *name {
            "mended" => assert_eq!(asked, 2),
            _ => {
                assert_eq!(asked, 3, "{name}: the model is asked once, and for two repairs");
                says(&events, &["one task carries the objective", "3 answers"]);
            }
        }
    }
    goes_on(&product).await;
}
