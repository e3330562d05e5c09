//! Conversions from the store's views to the API's documents.

use api::{Amount, Event, StatusInputs, TaskStatus};
use domain::{NanoDollars, RunId, merge::Choice};
use engine::view;

pub(crate) fn counts(counts: view::TaskCounts) -> api::TaskCounts {
    api::TaskCounts {
        total: counts.total(),
        planned: counts.planned,
        ready: counts.ready,
        active: counts.active,
        merging: counts.merging,
        complete: counts.complete,
        failed: counts.failed,
        cancelled: counts.cancelled,
    }
}

pub(crate) fn summary(run: view::RunSummary) -> api::RunSummary {
    api::RunSummary {
        short: run.id.short(),
        id: run.id,
        state: run.state,
        reason: run.reason.map(Into::into),
        objective: run.objective,
        workspace_path: run.workspace,
        branch: run.branch,
        tasks: counts(run.tasks),
        merges_waiting: run.waiting,
        cost_nanodollars: run.spent.0,
        cost_dollars: run.spent.dollars(),
        max_cost: run.cap.map(Amount::from),
        created_at: run.created_at,
        ended_at: run.ended_at,
    }
}

pub(crate) fn run(detail: view::RunDetail) -> api::Run {
    let summary = detail.summary;
    let name = |(provider, model): (String, String)| format!("{provider}/{model}");
    api::Run {
        short: summary.id.short(),
        id: summary.id,
        state: summary.state,
        reason: summary.reason.map(Into::into),
        objective: summary.objective,
        workspace_path: summary.workspace,
        branch: summary.branch,
        director_model: name(detail.director),
        worker_model: name(detail.worker),
        check: detail.check.map(|check| api::Check {
            command: check.command,
            source: check.source,
        }),
        base_commit: detail.base.map(|commit| commit.0),
        base_branch: detail.base_branch,
        delivered_commit: detail.delivered.map(|commit| commit.0),
        checkout: detail.checkout,
        delivery: api::Delivery::new(detail.delivery, detail.delivering.map(|delivering| delivering.again_at)),
        expired_at: detail.expired_at,
        plan_version: detail.plan_version,
        tasks: counts(summary.tasks),
        merges_landed: detail.merges.0,
        merges_total: detail.merges.1,
        cost_nanodollars: detail.cost.spent.0,
        cost_dollars: detail.cost.spent.dollars(),
        cost: cost(detail.cost),
        integrity_flags: detail.integrity_flags.into_iter().map(integrity_flag).collect(),
        allow_integrity_flags: detail.allow_integrity_flags,
        last_event: detail.last_event,
        created_at: summary.created_at,
        deadline_at: detail.deadline_at,
        ended_at: summary.ended_at,
    }
}

fn cost(cost: view::Cost) -> api::Cost {
    api::Cost {
        spent: cost.spent.into(),
        reserved: cost.reserved.into(),
        lost: cost.lost.into(),
        max_cost: cost.cap.map(Amount::from),
        calls: cost.calls,
        unpriced_calls: cost.unpriced_calls,
        tokens: tokens(cost.tokens),
        by_role: cost.by_role.into_iter().map(cost_line).collect(),
        by_model: cost.by_model.into_iter().map(cost_line).collect(),
    }
}

fn cost_line(line: view::CostLine) -> api::CostLine {
    api::CostLine {
        name: line.name,
        spent: line.spent.into(),
        calls: line.calls,
        unpriced_calls: line.unpriced_calls,
        tokens: tokens(line.tokens),
    }
}

fn tokens(tokens: view::Tokens) -> api::Tokens {
    api::Tokens {
        input: tokens.input,
        output: tokens.output,
        cached: tokens.cached,
        reasoning: tokens.reasoning,
    }
}

/// What a task is doing, waiting for or came to.
pub(crate) fn task_status(task: &view::TaskView) -> TaskStatus {
    let action = |action: view::Action| {
        let (tool, summary) = action.tool.unzip();
        api::Action {
            turn: action.turn,
            tool,
            summary,
        }
    };
    TaskStatus::from(StatusInputs {
        state: task.state,
        reason: task.reason.clone().map(Into::into),
        attempts: task.attempts,
        failures: task.failures,
        waits_for: task.waits_for.iter().map(|key| key.0.clone()).collect(),
        blocked_on: task.blocked_on.clone(),
        ready_at: task.ready_at,
        retry_at: task.retry_at,
        action: task.action.clone().map(action),
        merge: task.merge.clone().map(task_merge),
        landed_commit: task.landed.as_ref().map(|commit| commit.0.clone()),
    })
}

fn task_merge(merge: view::TaskMerge) -> api::TaskMerge {
    api::TaskMerge {
        id: merge.id.0,
        state: merge.state,
        position: merge.position,
        conflicts: merge.conflicts,
    }
}

pub(crate) fn task(task: view::TaskView) -> api::Task {
    let status = task_status(&task);
    let names = |keys: Vec<domain::TaskKey>| keys.into_iter().map(|key| key.0).collect();
    api::Task {
        key: task.key.0,
        title: task.title,
        profile: task.profile,
        state: task.state,
        status_text: status.words(),
        status,
        reason: task.reason.map(Into::into),
        attempts: task.attempts,
        failures: task.failures,
        crashes: task.crashes,
        turns: task.turns,
        cost_nanodollars: task.cost.0,
        cost_dollars: task.cost.dollars(),
        unpriced_calls: task.unpriced_calls,
        depends_on: names(task.depends_on),
        waits_for: names(task.waits_for),
        merge: task.merge.map(task_merge),
        returned: task.returned.into_iter().map(returned).collect(),
        landed_commit: task.landed.map(|commit| commit.0),
        duration_ms: task.duration_ms,
        started_at: task.started_at,
        ended_at: task.ended_at,
    }
}

fn returned(returned: view::ReturnedAttempt) -> api::ReturnedAttempt {
    api::ReturnedAttempt {
        attempt: returned.attempt,
        reason: returned.reason.into(),
        merge: returned.merge.map(|merge| merge.0),
        at: returned.at,
    }
}

pub(crate) fn task_detail(detail: view::TaskDetail) -> api::TaskDetail {
    api::TaskDetail {
        task: task(detail.task),
        spec: detail.spec,
        feedback: detail.feedback,
        attempts: detail.attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(attempt: view::AttemptView) -> api::Attempt {
    api::Attempt {
        number: attempt.number,
        base_commit: attempt.base.map(|commit| commit.0),
        commit: attempt.commit.map(|commit| commit.0),
        finish: attempt.finish,
        end: attempt.end.and_then(|end| serde_json::to_value(end).ok()),
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        turns: attempt.turns.into_iter().map(turn).collect(),
    }
}

fn turn(turn: view::TurnView) -> api::Turn {
    api::Turn {
        number: turn.number,
        backend: turn.backend,
        text: turn.text,
        model: turn.model,
        input_tokens: turn.tokens.0,
        output_tokens: turn.tokens.1,
        cost_nanodollars: turn.cost.map(|cost| cost.0),
        cost_dollars: turn.cost.map(NanoDollars::dollars),
        answered_at: turn.answered_at,
        tool_calls: turn.calls.into_iter().map(tool_call).collect(),
    }
}

fn tool_call(call: view::ToolCallView) -> api::ToolCall {
    api::ToolCall {
        name: call.name,
        summary: call.summary,
        arguments: call.arguments,
        result: call.result,
        result_characters: call.result_length,
        ok: call.ok,
        started_at: call.intended_at,
        ended_at: call.ended_at,
    }
}

pub(crate) fn merge(merge: view::MergeView) -> api::Merge {
    api::Merge {
        id: merge.id.0,
        task: merge.task.0,
        attempt: merge.attempt,
        state: merge.state,
        commit: merge.commit.0,
        tip: merge.tip.map(|commit| commit.0),
        merge_commit: merge.merged.map(|commit| commit.0),
        tree: merge.tree,
        method: merge.method,
        conflicts: merge.conflicts,
        gate: merge.gate,
        reason: merge.reason.map(Into::into),
        wait_ms: merge.wait_ms,
        merge_ms: merge.merge_ms,
        queued_at: merge.queued_at,
        started_at: merge.started_at,
        ended_at: merge.ended_at,
        resolutions: merge.resolutions.into_iter().map(resolution).collect(),
        integrity_flags: merge.integrity_flags.into_iter().map(integrity_flag).collect(),
    }
}

fn integrity_flag(view: view::IntegrityFlagView) -> api::IntegrityFlag {
    api::IntegrityFlag {
        kind: view.flag.kind,
        path: view.flag.path,
        detail: view.flag.detail,
        merge: view.merge.0,
        task: view.task.0,
        recorded_at: view.recorded_at,
    }
}

pub(crate) fn merge_summary(line: view::MergeLine) -> api::MergeSummary {
    api::MergeSummary {
        id: line.id.0,
        run_short: line.run.short(),
        run: line.run,
        task: line.task.0,
        title: line.title,
        state: line.state,
        conflicts: line.conflicts,
        reason: line.reason.map(Into::into),
        queued_at: line.queued_at,
        waiting_since: line.waiting_since,
        ended_at: line.ended_at,
    }
}

pub(crate) fn merge_detail(run: RunId, own: view::MergeView, conflict: engine::OpenConflict) -> api::MergeDetail {
    api::MergeDetail {
        run,
        run_short: run.short(),
        merge: merge(own),
        files: conflict.files.into_iter().map(conflict_file).collect(),
        git_messages: conflict.messages,
        unavailable_reason: conflict.gone,
    }
}

fn conflict_file(file: engine::OpenFile) -> api::ConflictFile {
    let [base, ours, theirs] = file.versions.map(|version| {
        version.map(|version| api::ConflictVersion {
            blob: version.blob,
            mode: format!("{:06o}", version.mode),
            text: version.text,
        })
    });
    let hunks = file.hunks.into_iter().map(|hunk| api::ConflictHunk {
        line: hunk.line,
        base: hunk.base,
        ours: hunk.ours,
        theirs: hunk.theirs,
    });
    let (answer, answered_by) = file.answer.unzip();
    let answer = answer.map(|choice| api::PathDecision {
        path: file.path.clone(),
        decision: choice.as_str().to_owned(),
        content: match choice {
            Choice::Content(content) => Some(String::from_utf8_lossy(&content).into_owned()),
            Choice::Ours | Choice::Theirs | Choice::Delete => None,
        },
    });
    api::ConflictFile {
        path: file.path,
        kind: file.kind,
        base,
        ours,
        theirs,
        hunks: hunks.collect(),
        text_with_markers: file.marked,
        answer,
        answered_by,
    }
}

fn resolution(resolution: view::ResolutionView) -> api::Resolution {
    api::Resolution {
        path: resolution.path,
        hunk: resolution.hunk,
        layer: resolution.layer,
        result: resolution.result,
        base: resolution.base,
        ours: resolution.ours,
        theirs: resolution.theirs,
        text: resolution.text,
        reason: resolution.reason,
        model: resolution.model,
        cost_nanodollars: resolution.cost.map(|cost| cost.0),
        cost_dollars: resolution.cost.map(|cost| cost.dollars()),
        superseded: resolution.earlier,
    }
}

pub(crate) fn event(event: view::LoggedEvent) -> Event {
    Event {
        seq: event.seq,
        at: event.at,
        kind: event.kind,
        task: event.task.map(|key| key.0),
        data: event.data,
    }
}
