//! Emits every telemetry event.

use domain::{NanoDollars, integrity::IntegrityFlagKind, task::TaskState};
use std::time::Duration;
use telemetry::{TraceContext, db, http, llm, merge, queue, run, sandbox, system, task, tool};

/// Emits every event at least once, so that every metric has a sample.
pub(crate) fn emit_all_events() {
    let time = Duration::from_millis(1500);
    merge::queue_length(2);
    merge::lock_waited(time);
    drop(merge::lock_taken("hub/main"));
    merge::finished(merge::MergeResult::Success, time);
    merge::finished(merge::MergeResult::Conflict, time);
    merge::conflict_resolved("model", "resolved");
    merge::gate_finished(merge::GateResult::Passed, time);
    merge::gate_finished(merge::GateResult::NotConfigured, Duration::ZERO);
    merge::flagged(IntegrityFlagKind::CheckChanged);

    task::transition(None, TaskState::Planned);
    task::transition(Some(TaskState::Planned), TaskState::Ready);
    drop(task::attempt_started("coder", time));
    task::finished(task::TaskStatus::Success, "coder", time, 1);
    task::states(&[(TaskState::Active, 3), (TaskState::Ready, 4)]);
    task::worker_slots(1, 7);
    task::blocked("slot", time);

    run::started();
    run::finished(run::RunStatus::Failure, time);
    run::active(2);
    run::budget_remaining(NanoDollars(2_500_000_000));

    llm::request("gpt-4", llm::LlmStatus::Success, time, Some(time / 3));
    llm::request("gpt-4", llm::LlmStatus::RateLimited, time, None);
    llm::usage("gpt-4", "worker", 1000, 200, 300, 50, Some(NanoDollars(12_500_000)));
    llm::usage("gpt-4", "worker", 10, 20, 0, 0, None);
    llm::rate_limited("gpt-4");
    llm::retried("rate_limited");
    llm::discarded(NanoDollars(1_000_000));

    tool::started("shell").completed();
    tool::started_in(&TraceContext::generate(), "read_file").failed("not_found");
    sandbox::created(time);
    drop(sandbox::active());
    sandbox::cache_hit();
    sandbox::cache_miss();
    sandbox::enforced("memory", true);
    sandbox::limit_reached("memory");
    db::query("select", time);
    db::pool(3, 5);
    db::waited(time);
    queue::started("work").succeeded();
    queue::started("merge").failed();
    drop(queue::started("plan"));
    queue::length("work", 6);
    queue::retried("work");
    http::request("POST", "/runs", 201, time, 512);
    http::request("GET", "/runs/{id}", 404, time, 0);
    drop(http::connection_opened());
    drop(http::stream_opened());
    http::connection_closed(http::Closed::Evicted);
    system::observe();
    system::data_used("hubs", 4_096);
}
