//! Compares metrics with database rows: every series must equal a query's result.

use crate::exposition::Exposition;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};

/// Asserts equal series and values; a series missing on one side counts as 0.
#[track_caller]
pub(crate) fn same(name: &str, measured: BTreeMap<Vec<String>, f64>, known: BTreeMap<Vec<String>, f64>) {
    let keys: BTreeSet<_> = measured.keys().chain(known.keys()).collect();
    for key in keys {
        let (measured, known) = (
            measured.get(key).copied().unwrap_or(0.0),
            known.get(key).copied().unwrap_or(0.0),
        );
        assert!(
            (measured - known).abs() < 1e-9,
            "{name}{key:?} is {measured}, but {known} by the facts"
        );
    }
    assert!(
        known.values().any(|value| *value != 0.0),
        "{name} has nothing to be compared with"
    );
}

/// A scrape and the database to compare it with.
pub(crate) struct Rows<'a> {
    pub(crate) database: &'a PgPool,
    pub(crate) scrape: &'a Exposition,
}

impl Rows<'_> {
    /// Rows of label values and a number.
    async fn ask(&self, sql: &str) -> BTreeMap<Vec<String>, f64> {
        let wrapped = format!("select labels::text[], n::float8 from ({sql}) as counted (labels, n)");
        let rows: Vec<(Vec<String>, f64)> = sqlx::query_as(sqlx::AssertSqlSafe(wrapped))
            .fetch_all(self.database)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.into_iter().collect()
    }

    /// Asserts that every series of a counter equals a query's result.
    pub(crate) async fn counter(&self, name: &str, labels: &[&str], sql: &str) {
        same(name, self.scrape.by(name, labels), self.ask(sql).await);
    }

    /// Asserts that the observation counts of a histogram equal a query's result.
    async fn histogram(&self, name: &str, labels: &[&str], sql: &str) {
        same(name, self.scrape.observations(name, labels), self.ask(sql).await);
    }

    /// Asserts that the sum of a histogram is near a query's sum, within this tolerance per observation.
    async fn sum(&self, name: &str, labels: &[&str], within: f64, sql: &str) {
        let (measured, known) = (self.scrape.sums(name, labels), self.ask(sql).await);
        let counts = self.scrape.observations(name, labels);
        assert!(!known.is_empty(), "{name}");
        for (key, known) in known {
            let (measured, count) = (
                measured.get(&key).copied().unwrap_or(0.0),
                counts.get(&key).copied().unwrap_or(0.0),
            );
            assert!(
                (measured - known).abs() <= within * count.max(1.0),
                "{name}{key:?}: {measured}, but {known} by the rows"
            );
        }
    }
}

pub(crate) async fn tasks_equal_the_rows(rows: &Rows<'_>) {
    let ended = "case state when 'complete' then 'success' when 'failed' then 'failure' else 'cancelled' end";
    let completions = format!("select array[{ended}, profile], count(*) from task group by 1");
    rows.counter("task_completion_total", &["status", "worker_profile"], &completions)
        .await;
    let steps = format!("select array[profile, replace({ended}, 'failure', 'failed')], count(*) from task group by 1");
    rows.counter("automation_job_steps_total", &["name", "status"], &steps)
        .await;
    rows.histogram("task_retry_count", &[], "select array[]::text[], count(*) from task")
        .await;
    rows.sum(
        "task_retry_count",
        &[],
        0.0,
        "select array[]::text[], sum(greatest(attempt - 1, 0)) from task",
    )
    .await;
    rows.histogram(
        "task_execution_duration_seconds",
        &["worker_profile"],
        "select array[profile], count(*) from task group by 1",
    )
    .await;
    rows.sum(
        "task_execution_duration_seconds",
        &["worker_profile"],
        0.1,
        "select array[t.profile], sum(extract(epoch from coalesce(a.ended_at, t.ended_at) - a.started_at))
         from attempt a join task t on t.id = a.task group by 1",
    )
    .await;
    rows.histogram(
        "task_schedule_to_start_seconds",
        &[],
        "select array[]::text[], count(*) from event where kind = 'task_claimed'",
    )
    .await;
    // The states of each task according to its events, from none.
    let transitions = "
        with step (task, seq, state) as (
            select id, 0, case when exists (select 1 from dependency where child = id) then 'planned' else 'ready' end
            from task
            union all
            select task, seq, case kind when 'task_ready' then 'ready' when 'task_claimed' then 'active'
                when 'merge_queued' then 'merging' when 'task_returned' then 'ready'
                when 'task_completed' then 'complete' when 'task_failed' then 'failed' else 'cancelled' end
            from event where kind in ('task_ready', 'task_claimed', 'merge_queued', 'task_returned',
                'task_completed', 'task_failed', 'task_cancelled')),
        moved as (select coalesce(lag(state) over (partition by task order by seq), 'none') as was, state from step)
        select array[was, state], count(*) from moved group by 1";
    rows.counter("task_state_transitions_total", &["from", "to"], transitions)
        .await;
    rows.counter(
        "run_total",
        &["status"],
        "select array[case state when 'complete' then 'success' when 'failed' then 'failure' else state end], count(*)
         from run group by 1",
    )
    .await;
    rows.counter("run_started_total", &[], "select array[]::text[], count(*) from run")
        .await;
    rows.sum(
        "run_duration_seconds",
        &[],
        0.1,
        "select array[]::text[], sum(extract(epoch from ended_at - created_at)) from run",
    )
    .await;
}

pub(crate) async fn merges_equal_the_rows(rows: &Rows<'_>) {
    let result = "case when state = 'error' then 'error' when conflicts <> '[]' then 'conflict' else 'success' end";
    let merges = format!("select array[{result}], count(*) from merge group by 1");
    rows.counter("git_merge_total", &["result"], &merges).await;
    rows.histogram(
        "git_merge_duration_seconds",
        &[],
        "select array[]::text[], count(*) from merge",
    )
    .await;
    let merging = "select array[]::text[], sum(merge_ms) / 1000.0 from merge";
    rows.sum("git_merge_duration_seconds", &[], 0.001, merging).await;
    rows.histogram(
        "git_lock_wait_duration_seconds",
        &[],
        "select array[]::text[], count(*) from merge",
    )
    .await;
    let waiting = "select array[]::text[], sum(wait_ms) / 1000.0 from merge";
    rows.sum("git_lock_wait_duration_seconds", &[], 0.1, waiting).await;
    rows.counter(
        "git_conflict_resolution_total",
        &["strategy", "result"],
        "select array[layer, result], count(*) from resolution group by 1",
    )
    .await;
    let verdicts = "select array[gate ->> 'verdict'], count(*) from merge where gate is not null group by 1";
    rows.counter("gate_runs_total", &["result"], verdicts).await;
    rows.histogram("gate_duration_seconds", &["result"], verdicts).await;
    assert_eq!(rows.scrape.value("git_merge_lock_violations_total"), 0.0);
}

pub(crate) async fn queue_and_tools_equal_the_rows(rows: &Rows<'_>) {
    let performed = "
        select array[kind, 'success'], count(*) from effect where done_at is not null group by 1
        union all select array['work', 'success'], count(*) from attempt
        union all select array['merge', 'success'], count(*) from merge";
    rows.counter("queue_tasks_total", &["task_name", "status"], performed)
        .await;
    rows.counter("celery_tasks_total", &["task_name", "status"], performed)
        .await;
    let again = "
        select array[kind], sum(tries - 1) from effect group by 1
        union all select array['work'], sum(greatest(attempt - 1, 0)) from task";
    rows.counter("queue_task_retries_total", &["task_name"], again).await;
    // A command with a non-zero exit code is a completed tool call.
    let tools = "
        select array[name, case when ok or result ~ '\\[exit code \\d+' then 'completed' else 'failed' end], count(*)
        from tool_call group by 1";
    rows.counter("tool_executions_total", &["tool_name", "status"], tools)
        .await;
    let by_name = "select array[name], count(*) from tool_call group by 1";
    rows.histogram("tool_execution_duration_seconds", &["tool_name"], by_name)
        .await;
    // A gate records how often it ran on its tree; a failed one also runs on the base, to see which failures are old; and
    // the server tests its sandbox once at start. Each run looks once for the programs of its check command.
    let sandboxes = "
        select array[]::text[], 1 + (select count(*) from run) + (select count(*) from tool_call where name = 'shell')
            + (select sum((gate ->> 'runs')::int) + count(*) filter (where gate ->> 'verdict' = 'failed') from merge)";
    rows.histogram("sandbox_creation_seconds", &[], sandboxes).await;
}

pub(crate) async fn models_equal_the_ledger(rows: &Rows<'_>) {
    rows.counter(
        "llm_cost_dollars_total",
        &["model", "role"],
        "select array[model_requested, role], sum(cost) / 1e9 from model_call group by 1",
    )
    .await;
    rows.counter(
        "llm_tokens_total",
        &["model", "token_type"],
        "select array[model_requested, 'input'], sum(input_tokens) from model_call group by 1
         union all select array[model_requested, 'output'], sum(output_tokens) from model_call group by 1",
    )
    .await;
    rows.histogram(
        "llm_request_duration_seconds",
        &["model"],
        // A dropped call could not record its number of requests; it is one here.
        "select array[model_requested], sum(coalesce(requests, 1)) from model_call group by 1",
    )
    .await;
    rows.histogram(
        "llm_time_to_first_token_seconds",
        &["model"],
        "select array[model_requested], count(first_token_ms) from model_call group by 1",
    )
    .await;
    rows.counter(
        "llm_retries_total",
        &["reason"],
        "select array[data ->> 'why'], count(*) from event where kind = 'model_retried' group by 1",
    )
    .await;
    let spent = "select array[]::text[], sum(spent) / 1e9 from budget";
    let spent = rows.ask(spent).await[&Vec::new()];
    assert!((rows.scrape.total("llm_cost_dollars_total") - spent).abs() < 1e-9 && spent > 0.0);
    assert!(
        !rows.scrape.families.contains_key("llm_budget_remaining_dollars"),
        "no run has a budget now"
    );
}
