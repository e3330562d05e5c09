//! Planning, against a scripted model over HTTP.

use super::*;
use crate::testing::{Book, Script, Told, sim, within};
use domain::run::CheckSource;
use serde_json::json;
use sim_llm::{Fault, Rule};

fn order() -> PlanOrder {
    PlanOrder {
        objective: "Greet the world.\nIn two files.".into(),
        repository: RepositoryFacts {
            listing: vec!["README.md".into(), "src/".into()],
            check: Check {
                command: Some("sh test.sh".into()),
                source: CheckSource::Detected,
            },
            base: CommitId("a".repeat(40)),
        },
        profiles: Arc::new(Profiles::built_in().unwrap()),
        limits: RunLimits::default(),
        model: sim(),
        file_exists: Arc::new(|path| path == "README.md"),
        deadline: None,
    }
}

fn task(key: &str, parents: &[&str]) -> Value {
    let parents: Vec<Value> = parents
        .iter()
        .map(|parent| json!({"key": parent, "why": "code"}))
        .collect();
    json!({
        "key": key, "title": key, "profile": "coder", "covers": ["r1"], "instructions": "Do it.",
        "acceptance": [], "check": null, "depends_on": parents,
        "paths": {"owns": [], "shared": [], "creates": []},
        "provides": [], "needs": [], "size": "S", "risk": "low", "unknowns": [],
    })
}

fn document(tasks: Vec<Value>) -> Value {
    json!({
        "mode": "parallel", "reason": "two files", "requirements": [{"id": "r1", "text": "greet"}],
        "non_goals": [], "assumptions": [], "interfaces": [], "shared_paths": [], "tasks": tasks,
    })
}

fn cyclic() -> Value {
    document(vec![task("a", &["b"]), task("b", &["a"])])
}

async fn planned(rules: Vec<Rule>) -> (Result<Planned, Reason>, Script, Told) {
    let script = Script::play(rules).await;
    let told = Told::default();
    let result = plan(&order(), &script.models, &Book::default(), &told, None).await;
    (result, script, told)
}

#[tokio::test]
async fn valid_plan_is_accepted_with_its_repairs() {
    let plan = document(vec![task("a", &[]), task("b", &["a", "a"])]);
    let (result, script, told) = planned(vec![Rule::director().json(&plan)]).await;
    let planned = result.unwrap();
    assert_eq!((planned.plan.tasks.len(), planned.rounds), (2, 1));
    assert_eq!(planned.repairs, ["task b names its dependency on a once"]);
    assert_eq!(told.rounds(), [(1, Vec::new())]);
    assert_eq!(script.asked()[0].role, "director");
    let format = &script.body(1)["response_format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(format["json_schema"]["strict"], true);
}

#[tokio::test]
async fn invalid_plan_goes_back_with_pointers() {
    let good = document(vec![task("a", &[])]);
    let (result, script, told) = planned(vec![
        Rule::director().turn(1).json(&cyclic()),
        Rule::director().turn(2).contains("/tasks/0/depends_on").json(&good),
    ])
    .await;
    assert_eq!(result.unwrap().rounds, 2);
    let rounds = told.rounds();
    assert_eq!(rounds.len(), 2);
    assert!(rounds[1].1[0].contains("a → b → a"), "{rounds:?}");
    script.asked();
}

#[tokio::test]
async fn persistently_invalid_plans_become_one_task() {
    let (result, script, _) = planned(vec![Rule::director().json(&cyclic())]).await;
    let planned = result.unwrap();
    assert_eq!(planned.plan.tasks.len(), 1);
    assert_eq!(planned.plan.tasks[0].profile, "coder");
    assert_eq!(planned.plan.tasks[0].instructions, order().objective);
    assert!(planned.repairs[0].contains("one task carries the objective"));
    assert_eq!((script.asked().len(), planned.rounds), (3, 3));
}

#[tokio::test]
async fn model_that_never_answers_with_a_plan_fails_the_planning() {
    for rule in [
        Rule::director().say("I would rather write a poem."),
        Rule::director().say("{\"mode\": \"parallel\"}"),
        Rule::director().say(""),
        Rule::director().fault(Fault::Garbage),
    ] {
        let (result, script, _) = planned(vec![rule]).await;
        let reason = result.unwrap_err();
        assert_eq!(reason.code, ReasonCode::Plan, "{reason}");
        assert!(reason.message.contains("sim/sim-model"), "{reason}");
        assert!(script.asked().len() <= 8);
    }
}

#[tokio::test]
async fn refused_budget_is_the_reason() {
    let script = Script::play(vec![Rule::director().json(&cyclic())]).await;
    let book = Book {
        refuse_from: Some(0),
        ..Book::default()
    };
    let told = Told::default();
    let reason = plan(&order(), &script.models, &book, &told, None).await;
    assert_eq!(reason.unwrap_err().code, ReasonCode::Budget);
    assert!(script.asked().is_empty());
}

#[test]
fn constant_part_is_within_its_budget() {
    within(prompt::SYSTEM, 1_500);
    assert!(prompt::SYSTEM.starts_with("# role: director\n"));
    for forbidden in ["You are an expert", "Great", "sh test.sh"] {
        assert!(!prompt::SYSTEM.contains(forbidden));
    }
}

#[test]
fn prompt_contains_the_facts() {
    insta::assert_snapshot!("director", prompt::user(&order()));
    let mut empty = order();
    empty.repository.listing.clear();
    empty.repository.check.command = None;
    let text = prompt::user(&empty);
    assert!(text.contains("The tree is empty") && text.contains("no check command"));
}
