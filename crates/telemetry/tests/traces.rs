//! A collector receives one trace per run with the right parents, even across a restart.
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

#[path = "common/collector.rs"]
mod collector;
#[path = "common/settings.rs"]
mod settings;

use collector::{Collector, Span};
use domain::{MergeId, TaskId};
use settings::settings;
use std::time::{Duration, SystemTime};
use telemetry::{
    Settings, TraceContext,
    span::{self, SpanKind, attributes},
    tool,
};

/// Emits the spans of a run with stored identities; the root comes last.
fn emit_a_run(run: &TraceContext) {
    let submitted = SystemTime::now() - Duration::from_secs(60);
    let plan = span::child(run, SpanKind::Plan);
    let mut chat = span::child(
        &plan.context(),
        SpanKind::Chat {
            provider: "sim",
            model: "gpt-4",
        },
    );
    chat.event("retry", [("reason", "rate_limited".into())]);
    chat.answer("gpt-4-0613", "stop", 10, 20);
    drop((chat, plan));

    // The task outlives a process: its identity is stored, its children refer to it, and it is emitted when it ends.
    let task = run.child();
    let stored = task.to_string();
    let mut agent = span::child(
        &stored.parse().unwrap(),
        SpanKind::Agent {
            profile: "coder",
            attempt: 1,
        },
    );
    agent.attr("note", "the key is planted-secret-value");
    let turn = span::child(&agent.context(), SpanKind::Turn { number: 1 });
    tool::started_in(&turn.context(), "shell").completed();
    tool::started_in(&turn.context(), "read_file").failed("not_found");
    drop(turn);
    let worker = agent.context();
    drop(agent);

    let mut merge = span::child(&task, SpanKind::Merge { merge: MergeId(7) });
    merge.link(&worker);
    drop(span::child_since(&merge.context(), SpanKind::LockWait, submitted));
    drop(span::child(&merge.context(), SpanKind::Resolve));
    span::child(&merge.context(), SpanKind::Gate).fail("gate_failed");
    drop(merge);
    let kind = SpanKind::Task {
        profile: "coder",
        task: TaskId(3),
        attempt: 1,
    };
    span::late(&task, run, kind)
        .event("active", submitted)
        .finish(submitted, SystemTime::now(), None);
    let root = span::run(run).attr(attributes::RUN_ID, "01890000-0000-7000-8000-000000000000");
    root.finish(submitted, SystemTime::now(), Some("budget"));
}

#[test]
fn run_is_one_trace_with_the_right_parents() {
    let collector = Collector::start();
    let endpoint = Some(collector.address.clone());
    let telemetry = telemetry::init(Settings {
        otlp_endpoint: endpoint,
        ..settings()
    })
    .unwrap();
    let run = TraceContext::generate();
    emit_a_run(&run);
    // Work may move between threads while its span is running.
    let guard = span::child(&run, SpanKind::Turn { number: 2 });
    std::thread::spawn(move || drop(guard)).join().unwrap();
    telemetry.shutdown();

    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace_id == run.trace_hex()), "{spans:#?}");
    let named = |name: &str| -> &Span {
        let mut found = spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
        assert!(found.next().is_none(), "{name} came twice");
        span
    };
    let root = named("invoke_workflow");
    assert_eq!((root.span_id.clone(), root.parent_id.as_str()), (run.span_hex(), ""));
    assert_eq!(root.status, 2, "a failed run is an error");
    assert!(root.end - root.start >= 60_000_000_000);
    for (child, parent) in [
        ("plan director", "invoke_workflow"),
        ("chat gpt-4", "plan director"),
        ("task coder", "invoke_workflow"),
        ("invoke_agent coder", "task coder"),
        ("turn 1", "invoke_agent coder"),
        ("execute_tool shell", "turn 1"),
        ("execute_tool read_file", "turn 1"),
        ("git.merge", "task coder"),
        ("git.lock.wait", "git.merge"),
        ("git.conflict.resolve", "git.merge"),
        ("gate.verify", "git.merge"),
        ("turn 2", "invoke_workflow"),
    ] {
        assert_eq!(
            named(child).parent_id,
            named(parent).span_id,
            "{child} is a child of {parent}"
        );
    }
    let chat = named("chat gpt-4");
    assert_eq!(chat.attributes["gen_ai.operation.name"], "chat");
    assert_eq!(chat.attributes["gen_ai.provider.name"], "sim");
    assert_eq!(chat.attributes["gen_ai.response.model"], "gpt-4-0613");
    assert_eq!(chat.events, ["retry"]);
    assert_eq!(named("task coder").events, ["active"]);
    assert_eq!(named("execute_tool read_file").attributes["error.type"], "not_found");
    assert_eq!(named("execute_tool shell").status, 0);
    assert_eq!(named("git.merge").links, [named("invoke_agent coder").span_id.clone()]);
    assert_eq!(named("invoke_agent coder").attributes["note"], "the key is [redacted]");
}
