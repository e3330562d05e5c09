//! Models that answer invalid data, nothing, too late or not at all: the run fails within its limits with a clear reason,
//! and the workspace is unchanged.

use crate::support::{Untouched, body, get, goes_on, post, with};
use e2e::{Product, done, plan};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sim_llm::{Fault, Rule, Scenario};
use std::path::PathBuf;

/// How a run with a bad model ends.
struct Case {
    /// The model's name, which its rules match.
    name: &'static str,
    rules: Vec<Rule>,
    limits: Value,
    code: &'static str,
    says: &'static [&'static str],
    /// The most calls before the run fails.
    calls: usize,
}

fn case(name: &'static str, rules: Vec<Rule>, code: &'static str, says: &'static [&'static str], calls: usize) -> Case {
    Case {
        name,
        rules,
        limits: json!({"failures": 1}),
        code,
        says,
        calls,
    }
}

impl Case {
    fn limits(mut self, limits: Value) -> Self {
        self.limits = limits;
        self
    }
}

fn status(status: u16, retry_after: Option<&str>, body: Option<&str>) -> Fault {
    Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
        headers: Default::default(),
        body: body.map(str::to_owned),
    }
}

/// The director's model fails.
fn directors() -> Vec<Case> {
    let director = Rule::director;
    let quota = r#"{"error": {"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"}}"#;
    let overdue = json!({"run_s": 5});
    vec![
        case(
            "d-garbage",
            vec![director().fault(Fault::Garbage)],
            "plan",
            &["gave no plan", "choose another"],
            6,
        ),
        case(
            "d-prose",
            vec![director().say("I would rather talk.")],
            "plan",
            &["gave no plan", "JSON"],
            4,
        ),
        case("d-silent", vec![director().say("")], "plan", &["gave no plan"], 4),
        case(
            "d-empty",
            vec![director().fault(Fault::Empty)],
            "model",
            &["cut off before its end in 6 attempts"],
            6,
        ),
        case(
            "d-tool",
            vec![director().call("fly", json!({}))],
            "plan",
            &["gave no plan"],
            4,
        ),
        case(
            "d-shape",
            vec![director().json(&json!({"tasks": "many"}))],
            "plan",
            &["gave no plan", "/tasks"],
            4,
        ),
        case(
            "d-401",
            vec![director().fault(Fault::status(401))],
            "model",
            &["refused the API key (401", "OPENAI_API_KEY"],
            1,
        ),
        case(
            "d-403",
            vec![director().fault(Fault::status(403))],
            "model",
            &["403", "OPENAI_API_KEY"],
            1,
        ),
        case(
            "d-404",
            vec![director().fault(Fault::status(404))],
            "model",
            &["404", "check the model's name"],
            1,
        ),
        case(
            "d-429",
            vec![director().fault(status(429, Some("0"), None))],
            "model",
            &["rate limited after 6 attempts"],
            6,
        ),
        case(
            "d-quota",
            vec![director().fault(status(429, None, Some(quota)))],
            "model",
            &["quota is used up"],
            1,
        ),
        case(
            "d-500",
            vec![director().fault(status(500, Some("0"), None))],
            "model",
            &["failed (500) in 6 attempts"],
            6,
        ),
        case(
            "d-hang",
            vec![director().fault(Fault::Hang)],
            "limit",
            &["limit run_s = 5"],
            1,
        )
        .limits(overdue.clone()),
        case(
            "d-stall",
            vec![director().fault(Fault::Stall)],
            "limit",
            &["limit run_s = 5"],
            1,
        )
        .limits(overdue),
    ]
}

/// The worker's model fails.
fn workers() -> Vec<Case> {
    let worker = || Rule::worker("only");
    let planned = |rules: Vec<Rule>| {
        let mut all = vec![Rule::director().json(&plan(&[("only", &[])]))];
        all.extend(rules);
        all
    };
    let bad = |name, rule: Rule, code, says, calls: usize| case(name, planned(vec![rule]), code, says, calls + 1);
    let overdue = json!({"run_s": 6});
    vec![
        bad(
            "w-garbage",
            worker().fault(Fault::Garbage),
            "model",
            &["task only", "can't be read"],
            2,
        ),
        bad(
            "w-silent",
            worker().say(""),
            "worker",
            &["task only", "called no tool in 3 answers"],
            3,
        ),
        bad(
            "w-prose",
            worker().say("It is done, trust me."),
            "worker",
            &["called no tool in 3 answers"],
            3,
        ),
        bad(
            "w-unknown",
            worker().call("fly", json!({"to": "the moon"})),
            "worker",
            &["fly"],
            5,
        ),
        bad(
            "w-broken",
            worker().raw_call("write_file", "{\"path\": \"a"),
            "worker",
            &["write_file"],
            5,
        ),
        bad(
            "w-list",
            worker().raw_call("shell", "[\"ls\"]"),
            "worker",
            &["round in circles", "shell"],
            5,
        ),
        bad(
            "w-circles",
            read_again(),
            "worker",
            &["round in circles", "read_file"],
            6,
        ),
        bad(
            "w-401",
            worker().fault(Fault::status(401)),
            "model",
            &["refused the API key", "OPENAI_API_KEY"],
            1,
        ),
        bad(
            "w-429",
            worker().fault(status(429, Some("0"), None)),
            "model",
            &["still rate limited"],
            6,
        ),
        bad(
            "w-blocked",
            finish("blocked"),
            "worker",
            &["the worker says the task is blocked", "because"],
            1,
        ),
        bad(
            "w-impossible",
            finish("impossible"),
            "worker",
            &["the worker says the task is impossible"],
            1,
        ),
        bad(
            "w-idle",
            finish("done"),
            "worker",
            &["nothing in the tree has changed"],
            1,
        ),
        bad("w-endless", look_around(), "limit", &["3 turns", "limit turns = 3"], 3)
            .limits(json!({"turns": 3, "failures": 1})),
        bad("w-hang", worker().fault(Fault::Hang), "limit", &["limit run_s = 6"], 1).limits(overdue.clone()),
        bad("w-slow", sleep(), "limit", &["limit run_s = 6"], 1).limits(overdue),
    ]
}

fn read_again() -> Rule {
    Rule::worker("only").call("read_file", json!({"path": "a"}))
}

fn look_around() -> Rule {
    Rule::worker("only").call("shell", json!({"command": "date +%N"}))
}

fn sleep() -> Rule {
    Rule::worker("only").call("shell", json!({"command": "sleep 600"}))
}

fn finish(outcome: &str) -> Rule {
    Rule::worker("only").call("finish", json!({"outcome": outcome, "summary": "because"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_a_failing_model_fails_with_reason_and_changes_nothing() {
    let mut cases = directors();
    cases.extend(workers());
    let rules = cases
        .iter()
        .flat_map(|case| case.rules.iter().map(|rule| rule.clone().model(case.name)));
    let mut rules: Vec<Rule> = rules.collect();
    rules.push(Rule::director().json(&plan(&[("good", &[])])));
    rules.push(
        Rule::worker("good")
            .call("write_file", json!({"path": "b", "content": "2\n"}))
            .call("finish", done()),
    );
    let product = Product::start_with(Scenario::from_rules(rules), &[("ORCHESTRATOR_WORKERS", "16")]).await;

    let ends = join_all(cases.iter().map(|case| end(&product, case))).await;
    let mistakes: Vec<String> = ends.into_iter().flatten().collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));

    let workspace = product.repository("good", &[("a", "1\n")]);
    let run = product.submit(&workspace, Some("test -f b")).await;
    assert_eq!(product.end(run).await["state"], "complete", "the server still works");
    goes_on(&product).await;
}

/// Without limits of the run, the configured time limit ends a call.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_provider_fails_after_the_configured_time() {
    let place = e2e::directory();
    let configuration = place.path().join("orchestrator.toml");
    std::fs::write(
        &configuration,
        "[calls]\nheader_s = 1\nstream_idle_s = 1\nattempts = 2\n",
    )
    .unwrap();
    let environment = [("ORCHESTRATOR_CONFIG", configuration.to_str().unwrap())];
    let cases = [
        case(
            "hang",
            vec![Rule::director().fault(Fault::Hang)],
            "model",
            &["no response started within 1 s, in 2 attempts", "calls.header_s"],
            2,
        ),
        case(
            "stall",
            vec![Rule::director().say(&"word ".repeat(200)).fault(Fault::Stall)],
            "model",
            &["sent nothing for 1 s, in 2 attempts", "calls.stream_idle_s"],
            2,
        ),
    ];
    let rules = cases.iter().flat_map(|case| {
        let rules = case.rules.iter().cloned();
        rules.map(|rule| rule.model(case.name))
    });
    let product = Product::start_with(Scenario::from_rules(rules.collect()), &environment).await;
    let ends = join_all(cases.iter().map(|case| end(&product, case))).await;
    let mistakes: Vec<String> = ends.into_iter().flatten().collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
    goes_on(&product).await;
}

/// What differs from the expected end of a case.
async fn end(product: &Product, case: &Case) -> Option<String> {
    let workspace: PathBuf = product.repository(case.name, &[("a", "1\n")]);
    let before = Untouched::now(&workspace);
    let body = with(body(&workspace, case.name), "/orch_config/limits", case.limits.clone());
    let accepted = post(product, &body).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let run = product
        .end(accepted.json()["id"].as_str().unwrap().parse().unwrap())
        .await;
    let tasks = get(product, &format!("/runs/{}/tasks", run["id"].as_str().unwrap()))
        .await
        .json();
    let asked = product
        .journal()
        .iter()
        .filter(|entry| entry.model == case.name)
        .count();
    let (state, code) = (
        run["state"].as_str()?,
        run["reason"]["code"].as_str().unwrap_or_default(),
    );
    let message = run["reason"]["message"].as_str().unwrap_or_default();
    println!("{}: {state} {code}: {message} ({asked} calls)", case.name);
    let unsaid: Vec<&&str> = case
        .says
        .iter()
        .filter(|word| !format!("{message} {tasks}").contains(**word))
        .collect();
    let untouched = Untouched::now(&workspace) == before;
    let right = state == "failed" && code == case.code && unsaid.is_empty() && asked <= case.calls && untouched;
    (!right || message.is_empty()).then(|| {
        format!(
            "{}: unsaid {unsaid:?}, {asked} calls of {}, untouched {untouched}\n{run:#}\n{tasks:#}",
            case.name, case.calls
        )
    })
}
