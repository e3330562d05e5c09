//! Tasks and the edges between them.

mod details;

pub use details::{ParentDetails, TaskDetails, TaskEnd};

use crate::{
    Error, Store,
    storable::{document, text},
    timed::timed,
    tx::Tx,
};
use domain::{
    CommitId, Fence, RunId, TaskId, TaskKey,
    event::Event,
    feedback::Feedback,
    plan::PlannedTask,
    profile::Change,
    run::Reason,
    schedule::NewTask,
    task::{Child, Task, TaskState},
};
use sqlx::types::Json;
use std::collections::BTreeMap;

impl Tx {
    /// Inserts the tasks of a plan and their edges.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn insert_tasks(
        &mut self,
        run: RunId,
        rows: &[NewTask],
        specs: &[PlannedTask],
        changes: &[Change],
    ) -> Result<BTreeMap<TaskKey, TaskId>, Error> {
        let mut ids = BTreeMap::new();
        for (ordinal, ((row, spec), change)) in rows.iter().zip(specs).zip(changes).enumerate() {
            let ready = row.state.is_claimable();
            let inserted = timed(
                "insert",
                sqlx::query!(
                    "insert into task (run, key, ordinal, title, profile, change, spec, state, claimable, pending,
                         priority, ready_at)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, case when $9 then now() end)
                     returning id",
                    run.0,
                    row.key.0,
                    ordinal as i32,
                    &*text(&spec.title),
                    spec.profile,
                    change.as_str(),
                    document("task.spec", spec)?,
                    row.state.as_str(),
                    ready,
                    row.pending,
                    row.priority,
                )
                .fetch_one(&mut *self.inner),
            )
            .await?;
            ids.insert(row.key.clone(), TaskId(inserted.id));
        }
        let edges = rows
            .iter()
            .flat_map(|row| row.parents.iter().map(move |parent| (parent, &row.key)));
        let (parents, children): (Vec<i64>, Vec<i64>) = edges
            .filter_map(|(parent, child)| Some((ids.get(parent)?.0, ids.get(child)?.0)))
            .unzip();
        timed(
            "insert",
            sqlx::query!(
                "insert into dependency (parent, child) select * from unnest($1::bigint[], $2::bigint[])",
                &parents,
                &children,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(ids)
    }

    /// Locks a task. The run's row is locked already.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn lock_task(&mut self, task: TaskId) -> Result<Option<Task>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select key, state, pending, fence, failures, crashes, resume, change,
                       reason as "reason: Json<Reason>"
                   from task where id = $1 for no key update"#,
                task.0,
            )
            .fetch_optional(&mut *self.inner),
        )
        .await?;
        row.map(|row| {
            Ok(Task {
                id: task,
                key: TaskKey(row.key),
                state: state(&row.state)?,
                pending: row.pending,
                fence: Fence(row.fence),
                failures: row.failures as u32,
                crashes: row.crashes as u32,
                resume: row.resume,
                change: change(&row.change)?,
                reason: row.reason.map(|reason| reason.0),
                wait_s: 0,
            })
        })
        .transpose()
    }

    /// Locks the direct dependents of a task, in the order of their ids.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn lock_children(&mut self, task: TaskId) -> Result<Vec<Child>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                "select t.id, t.key, t.state, t.pending from dependency d join task t on t.id = d.child
                 where d.parent = $1 order by t.id for no key update of t",
                task.0,
            )
            .fetch_all(&mut *self.inner),
        )
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Child {
                    id: TaskId(row.id),
                    key: TaskKey(row.key),
                    state: state(&row.state)?,
                    pending: row.pending,
                })
            })
            .collect()
    }

    /// Saves what a decision changed of a task.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_task(&mut self, task: &Task) -> Result<(), Error> {
        let reason = task
            .reason
            .as_ref()
            .map(|reason| document("task.reason", reason))
            .transpose()?;
        timed(
            "update",
            sqlx::query!(
                "update task set state = $2, claimable = $3, pending = $4, failures = $5, crashes = $6,
                     resume = $7, reason = $8,
                     wake_at = case when $10::float8 > 0 then now() + make_interval(secs => $10 * (0.5 + random() / 2)) end,
                     ready_at = case when $3 then now() else ready_at end,
                     ended_at = case when $9 then coalesce(ended_at, now()) end,
                     blocked_on = case when $3 then blocked_on end
                 where id = $1",
                task.id.0,
                task.state.as_str(),
                task.state.is_claimable(),
                task.pending,
                task.failures as i32,
                task.crashes as i32,
                task.resume,
                reason,
                task.state.is_final(),
                f64::from(task.wait_s),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Saves what a decision changed of a dependent.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_child(&mut self, child: &Child) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update task set state = $2, claimable = $3, pending = $4,
                     ready_at = case when $3 then now() else ready_at end where id = $1",
                child.id.0,
                child.state.as_str(),
                child.state.is_claimable(),
                child.pending,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// The run's tasks that have not ended, in the order of their ids.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn open_tasks(&mut self, run: RunId) -> Result<Vec<TaskId>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                "select id from task where run = $1 and ended_at is null order by id",
                run.0
            )
            .fetch_all(&mut *self.inner),
        )
        .await?;
        Ok(rows.into_iter().map(|row| TaskId(row.id)).collect())
    }

    /// Saves what the next attempt learns about the last one.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_feedback(&mut self, task: TaskId, feedback: &Feedback) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update task set feedback = $2 where id = $1",
                task.0,
                document("task.feedback", feedback)?
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Notes the commit that brought a task's work into the branch.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_landed(&mut self, task: TaskId, commit: &CommitId) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!("update task set commit = $2 where id = $1", task.0, commit.0).execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

/// Reads a state's name.
pub(crate) fn state(text: &str) -> Result<TaskState, Error> {
    TaskState::parse(text).ok_or_else(|| Error::corrupt("task.state", text))
}

pub(crate) fn change(text: &str) -> Result<Change, Error> {
    Change::parse(text).ok_or_else(|| Error::corrupt("task.change", text))
}

impl Store {
    /// Notes what is away that a task waits for, `None`: nothing; says whether that is news. Under a stale fence nothing
    /// is written.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn show_blocked_on(
        &self,
        run: RunId,
        task: TaskId,
        fence: Fence,
        what: Option<&str>,
    ) -> Result<bool, Error> {
        let news = timed(
            "select",
            sqlx::query_scalar!(
                r#"select id from task
                   where id = $1 and fence = $2 and ended_at is null and blocked_on is distinct from $3"#,
                task.0,
                fence.0,
                what,
            )
            .fetch_all(&self.pool),
        )
        .await?;
        self.note_blocked(run, news, what).await
    }

    /// The same for all tasks of a run that are in the merge queue.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn show_merges_blocked_on(&self, run: RunId, what: Option<&str>) -> Result<bool, Error> {
        let news = timed(
            "select",
            sqlx::query_scalar!(
                "select id from task where run = $1 and state = any ($3) and blocked_on is distinct from $2",
                run.0,
                what,
                &TaskState::names(TaskState::is_merging),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        self.note_blocked(run, news, what).await
    }

    async fn note_blocked(&self, run: RunId, tasks: Vec<i64>, what: Option<&str>) -> Result<bool, Error> {
        if tasks.is_empty() {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        // The run before its tasks, as everybody locks them.
        tx.lock_run(run).await?;
        timed(
            "update",
            sqlx::query!(
                "update task set blocked_on = $2 where id = any($1) and ended_at is null",
                &tasks,
                what
            )
            .execute(&mut *tx.inner),
        )
        .await?;
        let event = Event::TaskBlocked {
            on: what.map(str::to_owned),
        };
        let events: Vec<_> = tasks.iter().map(|task| (Some(TaskId(*task)), event.clone())).collect();
        tx.append(run, &events).await?;
        tx.commit().await?;
        Ok(true)
    }
}
