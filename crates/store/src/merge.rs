//! The merge queue: one row for each piece of finished work, from queued to landed or sent back.

mod steps;

pub use steps::{BroughtRow, Hold};

use crate::{Error, Holder, Store, storable::document, timed::timed, tx::Tx};
use domain::{CommitId, MergeId, RunId, TaskId, TaskKey, merge::MergeState, run::Reason};
use sqlx::types::Json;

/// An entry of the queue that has not ended.
#[derive(Clone, Debug)]
pub struct QueuedMerge {
    /// Which merge.
    pub id: MergeId,
    /// Its run.
    pub run: RunId,
    /// Whose work.
    pub task: TaskId,
    /// The task's name.
    pub key: TaskKey,
    /// Which try of the task.
    pub attempt: u32,
    /// The frozen work.
    pub commit: CommitId,
    /// Where it stands.
    pub state: MergeState,
    /// The tip it was merged onto, once intended.
    pub tip: Option<CommitId>,
    /// The commit to land, once intended.
    pub merged: Option<CommitId>,
    /// Whether the landing is intended: from then on it is finished by whoever comes.
    pub intended: bool,
    /// Whether a conflict was met on the way.
    pub conflicted: bool,
    /// Milliseconds since it was queued.
    pub waited_ms: i64,
    /// When it was queued, in seconds since 1970.
    pub queued_unix_s: f64,
    /// How often a merger claimed it.
    pub claims: u32,
}

/// Work that is in the branch.
#[derive(Clone, Debug)]
pub struct LandedWork {
    /// Whose work.
    pub key: TaskKey,
    /// The task's title.
    pub title: String,
    /// What the task was asked.
    pub instructions: String,
    /// The frozen work.
    pub commit: CommitId,
}

impl Tx {
    /// Puts finished work into the queue. Work that is there already stays as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn queue_merge(&mut self, run: RunId, task: TaskId, commit: &CommitId) -> Result<(), Error> {
        timed(
            "insert",
            sqlx::query!(
                "insert into merge (run, task, attempt, commit, state)
                 select $1, $2, attempt, $3, $4 from task where id = $2
                 on conflict (run, task, commit) do update
                     set state = excluded.state, ended_at = null, queued_at = now(), attempt = excluded.attempt,
                         reason = null, started_at = null, claims = 0, failures = 0, last_failure = null, wait_ms = null, merge_ms = null, gate = null,
                         intended_at = null, intent_fence = null, intent_place = null
                     where merge.state = any ($5)",
                run.0,
                task.0,
                commit.0,
                MergeState::Queued.as_str(),
                &MergeState::names(MergeState::can_be_resubmitted),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Takes a task's work out of the queue, unless its landing is intended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn drop_merge(&mut self, task: TaskId, reason: &Reason) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update merge set state = $3, reason = $2, ended_at = now()
                 where task = $1 and ended_at is null and intended_at is null",
                task.0,
                document("merge.reason", reason)?,
                MergeState::Rejected.as_str(),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Whether a task's work is past the point of no return. The run's row is locked.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn landing_intended(&mut self, task: TaskId) -> Result<bool, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select exists (select 1 from merge where task = $1 and ended_at is null
                       and intended_at is not null) as "intended!""#,
                task.0,
            )
            .fetch_one(&mut *self.inner),
        )
        .await?;
        Ok(row.intended)
    }
}

impl Store {
    /// Runs with work in the queue whose branch nobody alive merges onto, oldest work first. `merging` are those that
    /// this process is at: a lease on any other that it holds could not be given back, and counts for nothing.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn merge_targets(&self, holder: Holder, merging: &[RunId]) -> Result<Vec<RunId>, Error> {
        let merging: Vec<uuid::Uuid> = merging.iter().map(|run| run.0).collect();
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select m.run, min(m.id) as first from merge m
                   where m.ended_at is null and m.state = any ($4) and m.run <> all ($3)
                     and not exists (select 1 from lease l join process p on p.id = l.process and p.epoch = l.epoch
                         where l.name = 'merge:' || m.run::text and p.expires_at >= now()
                           and (l.process, l.epoch) is distinct from ($1, $2))
                   group by m.run order by first limit 100"#,
                holder.process.0,
                holder.epoch.0,
                &merging,
                &MergeState::names(MergeState::is_mergeable),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|row| RunId(row.run)).collect())
    }

    /// The entries for a branch, in the order they are merged: those whose landing is intended first, then by age. A
    /// level of priority counts as much as `level_s` seconds of waiting, so nobody is passed over for ever.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn merge_queue(&self, run: RunId, level_s: f64, limit: i64) -> Result<Vec<QueuedMerge>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select m.id, m.task, t.key, m.attempt, m.commit, m.state, m.tip, m.merged,
                       m.intended_at is not null as "intended!", m.claims, m.conflicts <> '[]'::jsonb as "conflicted!",
                       (extract(epoch from now() - m.queued_at) * 1000)::bigint as "waited_ms!",
                       extract(epoch from m.queued_at)::float8 as "queued_unix_s!"
                   from merge m join task t on t.id = m.task
                   where m.run = $1 and m.ended_at is null and m.state = any ($4)
                   order by (m.intended_at is null), m.intended_at, m.intent_place,
                       m.queued_at - make_interval(secs => $2::float8 * t.priority), m.id limit $3"#,
                run.0,
                level_s,
                limit,
                &MergeState::names(MergeState::is_mergeable),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let entries = rows.into_iter().map(|row| {
            Ok(QueuedMerge {
                id: MergeId(row.id),
                run,
                task: TaskId(row.task),
                key: TaskKey(row.key),
                attempt: row.attempt as u32,
                commit: CommitId(row.commit),
                state: MergeState::parse(&row.state).ok_or_else(|| Error::corrupt("merge.state", &row.state))?,
                tip: row.tip.map(CommitId),
                merged: row.merged.map(CommitId),
                intended: row.intended,
                conflicted: row.conflicted,
                waited_ms: row.waited_ms,
                queued_unix_s: row.queued_unix_s,
                claims: row.claims as u32,
            })
        });
        entries.collect()
    }

    /// The merge commit that landed last in a run.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn last_landed(&self, run: RunId) -> Result<Option<CommitId>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                "select merged from merge where run = $1 and state = $2
                 order by ended_at desc, intent_place desc nulls last, id desc limit 1",
                run.0,
                MergeState::Landed.as_str(),
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.and_then(|row| row.merged).map(CommitId))
    }

    /// Work that has landed in a run, in the order of its landing.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn landed_work(&self, run: RunId) -> Result<Vec<LandedWork>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select t.key, t.title, t.spec as "spec: Json<domain::plan::PlannedTask>", m.commit
                   from merge m join task t on t.id = m.task
                   where m.run = $1 and m.state = $2 order by m.ended_at, m.intent_place, m.id"#,
                run.0,
                MergeState::Landed.as_str(),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| LandedWork {
                key: TaskKey(row.key),
                title: row.title,
                instructions: row.spec.0.instructions,
                commit: CommitId(row.commit),
            })
            .collect())
    }

    /// How many merges wait their turn or are under way.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn merge_queue_length(&self) -> Result<i64, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select count(*) as "count!" from merge where ended_at is null and state = any ($1)"#,
                &MergeState::names(MergeState::is_mergeable),
            )
            .fetch_one(&self.pool),
        )
        .await?;
        Ok(row.count)
    }
}

/// The name of the lease on a run's branch.
pub fn merge_lease(run: RunId) -> String {
    format!("merge:{run}")
}
