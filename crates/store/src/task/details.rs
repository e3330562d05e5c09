//! What the engine reads of tasks without a lock.

use super::state;
use crate::{Error, Store, storable::recorded, timed::timed};
use domain::{
    CommitId, NanoDollars, TaskId, TaskKey, feedback::Feedback, plan::PlannedTask, recorded::Recorded, task::TaskState,
};
use serde_json::Value;
use sqlx::types::Json;

/// What a worker is told of a task it waits for.
#[derive(Clone, Debug)]
pub struct ParentDetails {
    /// Its name within the run.
    pub key: TaskKey,
    /// Its title.
    pub title: String,
    /// The commit that brought its work; `None` where nothing had to change.
    pub commit: Option<CommitId>,
    /// The worker's own report, if it made one.
    pub finish: Option<Value>,
}

/// What a merge or a worker needs to know of a task.
#[derive(Clone, Debug)]
pub struct TaskDetails {
    /// Which task.
    pub id: TaskId,
    /// Its name within the run.
    pub key: TaskKey,
    /// Its title.
    pub title: String,
    /// The kind of worker.
    pub profile: String,
    /// The task as the plan has it.
    pub spec: PlannedTask,
    /// What the next attempt learns about the last one.
    pub feedback: Option<Recorded<Feedback>>,
    /// Handled failures so far.
    pub failures: u32,
    /// Seconds since it was first claimed.
    pub age_s: Option<f64>,
}

/// How a task ended.
#[derive(Clone, Debug)]
pub struct TaskEnd {
    /// Where it stands.
    pub state: TaskState,
    /// The kind of worker.
    pub profile: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Seconds that workers spent on it.
    pub worked_s: f64,
    /// What its model calls cost.
    pub cost: NanoDollars,
    /// When it was first claimed, else when it was made, in seconds since 1970.
    pub began_unix_s: f64,
    /// When it ended.
    pub ended_unix_s: f64,
    /// The trace context of its run's root span.
    pub trace: Value,
}

impl Store {
    /// What a merge or a worker needs to know of a task.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn task_details(&self, task: TaskId) -> Result<Option<TaskDetails>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select key, title, profile, spec as "spec: Json<PlannedTask>", feedback, failures,
                       extract(epoch from now() - started_at)::float8 as age_s
                   from task where id = $1"#,
                task.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.map(|row| TaskDetails {
            id: task,
            key: TaskKey(row.key),
            title: row.title,
            profile: row.profile,
            spec: row.spec.0,
            feedback: row.feedback.map(|feedback| recorded("task.feedback", feedback)),
            failures: row.failures as u32,
            age_s: row.age_s,
        }))
    }

    /// What the parents of a task delivered.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn parents(&self, task: TaskId) -> Result<Vec<ParentDetails>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select t.key, t.title, t.commit,
                       (select a.finish from attempt a where a.task = t.id order by a.number desc limit 1) as finish
                   from dependency d join task t on t.id = d.parent where d.child = $1 order by t.ordinal"#,
                task.0,
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| ParentDetails {
                key: TaskKey(row.key),
                title: row.title,
                commit: row.commit.map(CommitId),
                finish: row.finish,
            })
            .collect())
    }

    /// How a task ended, for those who are told of it.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn task_end(&self, task: TaskId) -> Result<Option<TaskEnd>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select task.state, profile, attempt, run.trace,
                       extract(epoch from coalesce(started_at, task.created_at))::float8 as "began_unix_s!",
                       extract(epoch from coalesce(task.ended_at, now()))::float8 as "ended_unix_s!",
                       coalesce((select sum(c.cost) from model_call c
                                 where c.run = task.run and c.task = task.id), 0)::bigint as "cost!",
                       coalesce((select sum(extract(epoch from coalesce(a.ended_at, now()) - a.started_at))
                                 from attempt a where a.task = task.id), 0)::float8 as "worked_s!"
                   from task join run on run.id = task.run where task.id = $1"#,
                task.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        row.map(|row| {
            Ok(TaskEnd {
                state: state(&row.state)?,
                profile: row.profile,
                attempts: row.attempt as u32,
                worked_s: row.worked_s,
                cost: NanoDollars(row.cost),
                began_unix_s: row.began_unix_s,
                ended_unix_s: row.ended_unix_s,
                trace: row.trace,
            })
        })
        .transpose()
    }

    /// Through which states a task went, and when, in seconds since 1970: taken by a worker, handed to the merge
    /// queue, ended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn task_states_passed(&self, task: TaskId) -> Result<Vec<(String, f64)>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"with passed (state, at) as (
                       select $2::text, started_at from attempt where task = $1
                       union all select $3::text, queued_at from merge
                           where run = (select run from task where id = $1) and task = $1
                       union all select state, ended_at from task where id = $1 and ended_at is not null)
                   select state as "state!", extract(epoch from at)::float8 as "at_unix_s!" from passed order by at"#,
                task.0,
                TaskState::Active.as_str(),
                TaskState::Merging.as_str(),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|row| (row.state, row.at_unix_s)).collect())
    }

    /// How many tasks of runs under way stand in each state.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn task_states(&self) -> Result<Vec<(TaskState, i64)>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select t.state, count(*) as "count!" from task t join run r on r.id = t.run
                   where r.ended_at is null group by t.state"#
            )
            .fetch_all(&self.pool),
        )
        .await?;
        rows.into_iter()
            .map(|row| Ok((state(&row.state)?, row.count)))
            .collect()
    }
}
