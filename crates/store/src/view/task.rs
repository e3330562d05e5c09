//! The tasks of a run, with what each is doing or waiting for.

use super::{ReturnedAttempt, Views};
use crate::{Error, timed::timed};
use domain::{CommitId, MergeId, NanoDollars, RunId, TaskId, TaskKey, merge::MergeState, run::Reason, task::TaskState};
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

/// A task, as a line of a run's table.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Which task.
    pub id: TaskId,
    /// Its name within the run.
    pub key: TaskKey,
    /// A line for people.
    pub title: String,
    /// The kind of worker.
    pub profile: String,
    /// Where it stands.
    pub state: TaskState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// Attempts begun.
    pub attempts: i32,
    /// Handled failures, rejected merges among them.
    pub failures: i32,
    /// Deaths of the process under it.
    pub crashes: i32,
    /// Model turns, in all attempts.
    pub turns: i64,
    /// Settled cost of its calls to models.
    pub cost: NanoDollars,
    /// Answered calls whose model has no price.
    pub unpriced_calls: i64,
    /// Tasks whose work must have landed first.
    pub depends_on: Vec<TaskKey>,
    /// Those of them that have not completed.
    pub waits_for: Vec<TaskKey>,
    /// What it can't go on without and that is away: `the shared hub`, `room on the disk`.
    pub blocked_on: Option<String>,
    /// What the worker is doing, while one holds it.
    pub action: Option<Action>,
    /// Its newest entry in the merge queue.
    pub merge: Option<TaskMerge>,
    /// Its attempts that did not land, from the first.
    pub returned: Vec<ReturnedAttempt>,
    /// The merge commit that landed its work.
    pub landed: Option<CommitId>,
    /// Milliseconds from its first start to its end, or to now.
    pub duration_ms: Option<i64>,
    /// When it could last be claimed.
    pub ready_at: Option<OffsetDateTime>,
    /// When it can be claimed again, where that lies in the future.
    pub retry_at: Option<OffsetDateTime>,
    /// When it was first claimed.
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its final state.
    pub ended_at: Option<OffsetDateTime>,
}

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Which turn of the attempt; 0 before the first answer.
    pub turn: i32,
    /// The newest tool call: the tool, and what it is to do in a few words.
    pub tool: Option<(String, String)>,
}

/// A task's newest entry in the merge queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMerge {
    /// Which merge.
    pub id: MergeId,
    /// Where it stands.
    pub state: MergeState,
    /// Its position in the run's merge queue, from 1; `None` outside the queue, or where the order is not known.
    pub position: Option<i64>,
    /// Conflicted paths.
    pub conflicts: Vec<String>,
}

impl Views {
    /// The tasks of a run, in the plan's order.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn tasks(&self, run: RunId) -> Result<Vec<TaskView>, Error> {
        self.task_views(run, None).await
    }

    /// One task, as a line of its run's table; `None` where there is none.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn task_view(&self, run: RunId, key: &TaskKey) -> Result<Option<TaskView>, Error> {
        Ok(self.task_views(run, Some(key)).await?.pop())
    }

    async fn task_views(&self, run: RunId, only: Option<&TaskKey>) -> Result<Vec<TaskView>, Error> {
        // Everything that belongs to the run is aggregated once and joined: a thousand tasks stay one pass each.
        let query = sqlx::query!(
            r#"with money as (
                   select task, coalesce(sum(cost), 0)::bigint as cost,
                       count(*) filter (where cost is null and output_tokens is not null) as unpriced
                   from model_call where run = $1 group by task),
               turns as (
                   select a.task, count(*) as turns from attempt a join turn u on u.attempt = a.id
                   where a.run = $1 group by a.task),
               parents as (
                   select d.child, array_agg(p.key order by p.ordinal) as keys,
                       array_agg(p.key order by p.ordinal) filter (where p.state <> all ($4)) as open
                   from task p join dependency d on d.parent = p.id where p.run = $1 group by d.child),
               merges as (
                   select distinct on (task) task, id, state, conflicts from merge
                   where run = $1 order by task, queued_at desc, id desc),
               queue as (
                   select m.id, row_number() over (order by (m.intended_at is null), m.intended_at, m.intent_place,
                       m.queued_at - make_interval(secs => $3::float8 * t.priority), m.id) as position
                   from merge m join task t on t.id = m.task
                   where m.run = $1 and m.ended_at is null and m.state = any ($6) and $3::float8 is not null)
               select t.id, t.key, t.title, t.profile, t.state, t.reason as "reason: Json<Reason>", t.attempt,
                   t.failures, t.crashes, t.commit, t.blocked_on, t.ready_at,
                   case when t.claimable and t.wake_at > now() then t.wake_at end as retry_at, t.started_at, t.ended_at,
                   (extract(epoch from coalesce(t.ended_at, now()) - t.started_at) * 1000)::bigint as duration_ms,
                   coalesce(turns.turns, 0) as "turns!", coalesce(money.cost, 0) as "cost!",
                   coalesce(money.unpriced, 0) as "unpriced!",
                   coalesce(parents.keys, '{}') as "depends_on!", coalesce(parents.open, '{}') as "waits_for!",
                   merges.id as "merge?", merges.state as "merge_state?", merges.conflicts as "conflicts?",
                   queue.position as "position?",
                   newest.turn as "turn?", newest.name as "tool?", newest.summary as "summary?"
               from task t
               left join money on money.task = t.id
               left join turns on turns.task = t.id
               left join parents on parents.child = t.id
               left join merges on merges.task = t.id
               left join queue on queue.id = merges.id
               left join lateral (
                   select u.number as turn, c.name, c.summary
                   from attempt a
                   left join turn u on u.attempt = a.id
                   left join tool_call c on c.attempt = a.id and c.turn = u.number
                   where t.state = any ($5) and a.task = t.id and a.ended_at is null
                   order by a.number desc, u.number desc nulls last, c.ordinal desc nulls last limit 1) newest on true
               where t.run = $1 and ($2::text is null or t.key = $2)
               order by t.ordinal, t.id"#,
            run.0,
            only.map(|key| key.0.as_str()),
            self.priority_level.map(|level| level.as_secs_f64()),
            &TaskState::names(TaskState::satisfies_dependents),
            &TaskState::names(TaskState::is_held),
            &MergeState::names(MergeState::is_mergeable),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut returned = self.returned_attempts(run, only).await?;
        let mut tasks = Vec::with_capacity(rows.len());
        for row in rows {
            let state = task_state(&row.state)?;
            let merge = match row.merge.zip(row.merge_state.as_ref()) {
                Some((id, state)) => Some(TaskMerge {
                    id: MergeId(id),
                    state: merge_state(state)?,
                    position: row.position,
                    conflicts: conflict_paths(row.conflicts.as_ref()),
                }),
                None => None,
            };
            tasks.push(TaskView {
                id: TaskId(row.id),
                key: TaskKey(row.key),
                title: row.title,
                profile: row.profile,
                state,
                reason: row.reason.map(|reason| reason.0),
                attempts: row.attempt,
                failures: row.failures,
                crashes: row.crashes,
                turns: row.turns,
                cost: NanoDollars(row.cost),
                unpriced_calls: row.unpriced,
                depends_on: row.depends_on.into_iter().map(TaskKey).collect(),
                waits_for: row.waits_for.into_iter().map(TaskKey).collect(),
                blocked_on: row.blocked_on,
                action: state.is_held().then(|| Action {
                    turn: row.turn.unwrap_or(0),
                    tool: row.tool.zip(row.summary),
                }),
                merge,
                returned: returned.remove(&TaskId(row.id)).unwrap_or_default(),
                landed: row.commit.map(CommitId),
                duration_ms: row.duration_ms,
                ready_at: row.ready_at,
                retry_at: row.retry_at,
                started_at: row.started_at,
                ended_at: row.ended_at,
            });
        }
        Ok(tasks)
    }
}

pub(super) fn task_state(text: &str) -> Result<TaskState, Error> {
    TaskState::parse(text).ok_or_else(|| Error::corrupt("task.state", text))
}

pub(super) fn merge_state(text: &str) -> Result<MergeState, Error> {
    MergeState::parse(text).ok_or_else(|| Error::corrupt("merge.state", text))
}

/// The paths of the conflicts, whatever else each of them records.
pub(crate) fn conflict_paths(conflicts: Option<&Value>) -> Vec<String> {
    let entries = conflicts.and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("path").and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}
