//! A run is one trace: one span per row, each under its parent.

#[path = "common/collector.rs"]
mod collector;
#[path = "common/demo.rs"]
mod demo;

use collector::{Collector, Span};
use domain::RunId;
use e2e::{Product, done, eventually, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};

/// The received spans by id.
struct Trace {
    spans: Vec<Span>,
}

impl Trace {
    fn of(collector: &Collector) -> Self {
        let spans = collector.spans();
        let ids: BTreeSet<&String> = spans.iter().map(|span| &span.id).collect();
        assert_eq!(ids.len(), spans.len(), "a span came twice");
        Self { spans }
    }

    fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Span> {
        self.spans.iter().filter(move |span| span.kind() == kind)
    }

    #[track_caller]
    fn parent(&self, span: &Span) -> &Span {
        let parent = self.spans.iter().find(|other| other.id == span.parent);
        parent.unwrap_or_else(|| panic!("no parent of {span:?}"))
    }

    fn children<'a>(&'a self, parent: &'a Span, kind: &'a str) -> impl Iterator<Item = &'a Span> {
        self.kind(kind).filter(move |span| span.parent == parent.id)
    }
}

async fn count(database: &PgPool, sql: &'static str) -> usize {
    let count: i64 = sqlx::query_scalar(sql)
        .fetch_one(database)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    usize::try_from(count).expect("a count")
}

/// The trace that is stored with the run.
async fn stored_trace(database: &PgPool, run: RunId) -> String {
    let trace = sqlx::query_scalar("select trace ->> 'trace_id' from run where id::text = $1").bind(run.to_string());
    trace.fetch_one(database).await.expect("the run's trace")
}

/// Waits for the root span and the spans of all tasks; all other spans end before them.
async fn whole_trace(collector: &Collector, tasks: usize, merges: usize) -> Trace {
    eventually("the spans arrive", || async {
        let trace = Trace::of(collector);
        let come = |kind: &str| trace.kind(kind).count();
        (come("invoke_workflow") == 1 && come("task") == tasks && come("git.merge") == merges).then_some(trace)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_one_trace_with_a_span_per_row() {
    let collector = Collector::start().await;
    let product = Product::start_with(demo::scenario(), &collector.environment()).await;
    let repository = demo::repository(&product);
    let run = demo::submit(&product, &repository).await;
    assert_eq!(product.end(run).await["state"], "complete", "{}", product.log());
    let database = product.database().await;
    let merges = count(&database, "select count(*) from merge").await;
    let trace = whole_trace(&collector, 7, merges).await;

    let id = stored_trace(&database, run).await;
    assert!(trace.spans.iter().all(|span| span.trace == id), "one run, one trace");
    as_many_as_rows(&trace, &database).await;
    the_tree_is_that_of_the_contract(&trace);
    the_numbers_are_those_of_the_rows(&trace, &database).await;
    names_follow_the_conventions(&trace);
    let bodies = collector.bodies();
    for secret in ["sk-test", repository.to_str().expect("a path"), "poem"] {
        assert!(
            !bodies.contains(secret),
            "{secret} is in a span: keys, paths and contents stay out"
        );
    }
}

async fn as_many_as_rows(trace: &Trace, database: &PgPool) {
    for (kind, rows) in [
        ("invoke_workflow", "select count(*) from run"),
        ("plan", "select count(*) from effect where kind = 'plan'"),
        ("task", "select count(*) from task"),
        ("invoke_agent", "select count(*) from attempt"),
        ("turn", "select count(*) from turn"),
        ("chat", "select count(*) from model_call"),
        ("execute_tool", "select count(*) from tool_call"),
        ("git.merge", "select count(*) from merge"),
        ("git.lock.wait", "select count(*) from merge"),
        ("git.conflict.resolve", "select count(distinct merge) from resolution"),
        ("gate.verify", "select count(*) from merge where gate is not null"),
    ] {
        let came_to_an_end = trace.kind(kind).filter(|span| !was_stopped(span)).count();
        assert_eq!(came_to_an_end, count(database, rows).await, "{kind}");
    }
    let kinds: BTreeSet<&str> = trace.spans.iter().map(Span::kind).collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}");
}

/// Whether it is an early gate that was stopped because its base failed; it has no verdict and no row.
fn was_stopped(span: &Span) -> bool {
    span.kind() == "gate.verify" && span.attributes.get("error.type").is_some_and(|kind| kind == "stopped")
}

fn the_tree_is_that_of_the_contract(trace: &Trace) {
    for span in &trace.spans {
        let parents: &[&str] = match span.kind() {
            "invoke_workflow" => {
                assert_eq!(span.parent, "", "the run is the root");
                continue;
            }
            "plan" | "task" => &["invoke_workflow"],
            "invoke_agent" | "git.merge" => &["task"],
            "turn" => &["invoke_agent"],
            "chat" => &["turn", "plan", "git.conflict.resolve"],
            "execute_tool" => &["turn"],
            "git.lock.wait" | "git.conflict.resolve" | "gate.verify" => &["git.merge"],
            other => panic!("the contract knows no {other}"),
        };
        let parent = trace.parent(span);
        assert!(
            parents.contains(&parent.kind()),
            "{} is under {}",
            span.name,
            parent.name
        );
        // Late spans use the database's clock, with microseconds.
        assert!(
            span.start + 1_000_000 >= parent.start,
            "{} begins before {}",
            span.name,
            parent.name
        );
        assert!(span.end >= span.start, "{span:?}");
    }
}

/// Checks that the right spans are under each parent.
async fn the_numbers_are_those_of_the_rows(trace: &Trace, database: &PgPool) {
    let sql = "
        select t.id, a.number, (select count(*) from turn u where u.attempt = a.id),
            (select count(*) from tool_call c where c.attempt = a.id), t.profile
        from attempt a join task t on t.id = a.task";
    let attempts: Vec<(i64, i32, i64, i64, String)> = sqlx::query_as(sql).fetch_all(database).await.expect("attempts");
    let mut agents = BTreeMap::new();
    for agent in trace.kind("invoke_agent") {
        let task = trace.parent(agent).number("orchestrator.task.id");
        let turns: Vec<&Span> = trace.children(agent, "turn").collect();
        let calls = turns
            .iter()
            .map(|turn| trace.children(turn, "execute_tool").count())
            .sum::<usize>() as i64;
        let numbers: BTreeSet<i64> = turns.iter().map(|turn| turn.number("orchestrator.turn")).collect();
        assert_eq!(numbers, (1..=turns.len() as i64).collect(), "each turn once");
        assert!(
            turns.iter().all(|turn| trace.children(turn, "chat").count() == 1),
            "one call of the model for each turn"
        );
        let attempt = agent.number("orchestrator.attempt") as i32;
        let row = (
            task,
            attempt,
            turns.len() as i64,
            calls,
            agent.text("gen_ai.agent.name").to_owned(),
        );
        agents.insert((task, attempt), (row, agent.id.clone()));
    }
    assert_eq!(agents.len(), attempts.len());
    for attempt in &attempts {
        assert_eq!(&agents[&(attempt.0, attempt.1)].0, attempt);
    }
    let merges: Vec<(i64, i64, i32, String)> = sqlx::query_as("select id, task, attempt, state from merge")
        .fetch_all(database)
        .await
        .expect("merges");
    for (id, task, attempt, state) in merges {
        let span = trace
            .kind("git.merge")
            .find(|span| span.number("orchestrator.merge.id") == id);
        let span = span.unwrap_or_else(|| panic!("merge {id} has no span"));
        assert_eq!(trace.parent(span).number("orchestrator.task.id"), task);
        assert_eq!(
            span.links,
            [agents[&(task, attempt)].1.clone()],
            "a merge points to the worker whose work it is"
        );
        assert_eq!(span.failed, state != "landed", "{span:?}");
    }
    for task in trace.kind("task") {
        assert_eq!(
            (task.events.first().map(String::as_str), task.failed),
            (Some("active"), false),
            "{task:?}"
        );
        assert_eq!(task.events.last().map(String::as_str), Some("complete"), "{task:?}");
    }
}

fn names_follow_the_conventions(trace: &Trace) {
    for span in &trace.spans {
        let operation = match span.kind() {
            kind @ ("invoke_workflow" | "invoke_agent" | "plan" | "chat" | "execute_tool") => Some(kind),
            _ => None,
        };
        let recorded = span
            .attributes
            .get("gen_ai.operation.name")
            .and_then(|recorded| recorded.as_str());
        assert_eq!(recorded, operation, "{span:?}");
    }
    for chat in trace.kind("chat") {
        let model = chat.text("gen_ai.request.model");
        assert_eq!(chat.name, format!("chat {model}"));
        assert_eq!(
            (chat.text("gen_ai.provider.name"), chat.text("gen_ai.response.model")),
            ("openai", model)
        );
        assert!(chat.number("gen_ai.usage.input_tokens") > 0 && chat.number("gen_ai.usage.output_tokens") > 0);
        assert!(
            chat.attributes["gen_ai.response.finish_reasons"]
                .as_array()
                .is_some_and(|reasons| reasons.len() == 1)
        );
    }
    let retried = trace.kind("chat").filter(|chat| chat.events == ["retry"]);
    assert_eq!(retried.count(), 1, "the 429 is an event of its call");
    for tool in trace.kind("execute_tool") {
        assert_eq!(tool.name, format!("execute_tool {}", tool.text("gen_ai.tool.name")));
    }
    let gates: BTreeSet<bool> = trace.kind("gate.verify").map(|gate| gate.failed).collect();
    assert_eq!(gates.len(), 2, "one gate said no");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_outlives_its_server_is_one_trace() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("first", &[]), ("second", &["first"])])),
        Rule::worker("first")
            .call("write_file", json!({"path": "first", "content": "1\n"}))
            .call("finish", done()),
        Rule::worker("second")
            .turn(1)
            .call("shell", json!({"command": "sleep 5"})),
        Rule::worker("second")
            .turn(2)
            .call("write_file", json!({"path": "second", "content": "2\n"}))
            .call("finish", done()),
    ]);
    let collector = Collector::start().await;
    let mut product = Product::start_with(scenario, &collector.environment()).await;
    let repository = product.repository("repository", &[("README.md", "read me\n")]);
    let run = product.submit(&repository, Some("test -f README.md")).await;
    let database = product.database().await;
    eventually("the tool runs, and what was done before is exported", || async {
        let intent = "select count(*) from tool_call where name = 'shell' and result is null";
        let trace = Trace::of(&collector);
        let exported = ["git.merge", "task", "invoke_agent"]
            .iter()
            .all(|kind| trace.kind(kind).count() == 1);
        (exported && count(&database, intent).await == 1).then_some(())
    })
    .await;
    product.kill().await;
    product.start_again().await;
    assert_eq!(product.end(run).await["state"], "complete", "{}", product.log());
    let trace = whole_trace(&collector, 2, 2).await;
    let id = stored_trace(&product.database().await, run).await;
    assert_eq!(product.stop().await, Some(0));
    assert!(trace.spans.iter().all(|span| span.trace == id), "one run, one trace");
    // The turn that was running at the crash has no span; all others are connected.
    assert_eq!(
        trace.kind("invoke_agent").count(),
        2,
        "an attempt that is gone on with is one attempt"
    );
    for span in trace.spans.iter().filter(|span| span.kind() != "invoke_workflow") {
        let orphan = !trace.spans.iter().any(|other| other.id == span.parent);
        assert!(!orphan || matches!(span.kind(), "chat" | "execute_tool"), "{span:?}");
    }
    let second = trace
        .kind("invoke_agent")
        .max_by_key(|agent| agent.start)
        .expect("the second attempt");
    let turns: Vec<i64> = trace
        .children(second, "turn")
        .map(|turn| turn.number("orchestrator.turn"))
        .collect();
    assert_eq!(turns, [2], "{second:?}");
}
