//! Claiming ready tasks, and finding those whose process is gone.

use crate::{Error, Holder, Store, timed::timed};
use domain::{Fence, RunId, TaskId, TaskKey, event::Event, run::RunState, task::TaskState};

/// A task that this process holds from now on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its run.
    pub run: RunId,
    /// Which task.
    pub task: TaskId,
    /// Its name within the run.
    pub key: TaskKey,
    /// The kind of worker it wants.
    pub profile: String,
    /// What every write of the attempt names.
    pub fence: Fence,
    /// Which try, from 1.
    pub attempt: u32,
    /// The attempt's row.
    pub attempt_id: i64,
    /// Milliseconds it was ready before it was claimed.
    pub waited_ms: i64,
    /// Milliseconds it had waited for other tasks before that; 0 when it was claimed before.
    pub depended_ms: i64,
}

/// A task that a process holds, or that has lost its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its run.
    pub run: RunId,
    /// Which task.
    pub task: TaskId,
    /// The fence it was held under.
    pub fence: Fence,
    /// Whether a turn was finished under that fence.
    pub progressed: bool,
}

impl Store {
    /// Claims as many ready tasks as there are free slots, all of the run whose turn it is, within its limit.
    ///
    /// One statement finds the run with the lowest virtual time that has work and room, and takes its tasks with
    /// the longest remaining path first (docs/ARCHITECTURE.md, "Rules in SQL"). Runs whose workers' provider has no free
    /// slot are passed over.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn claim(&self, holder: Holder, slots: i64, full_providers: &[String]) -> Result<Vec<Claimed>, Error> {
        let mut tx = self.begin().await?;
        let rows = timed(
            "update",
            sqlx::query!(
                r#"with chosen as (
                       select id, max_active - active as room from run
                       where ended_at is null and state = any ($5) and ready > 0 and active < max_active
                         and worker_provider <> all($4)
                         and exists (select 1 from task t where t.run = run.id and t.claimable
                                     and (t.wake_at is null or t.wake_at <= now()))
                       order by vtime, created_at limit 1 for no key update skip locked),
                   picked as (
                       select t.id from task t, chosen c
                       where t.run = c.id and t.claimable and (t.wake_at is null or t.wake_at <= now())
                       order by t.priority desc, t.id limit least($3, (select room from chosen)) for no key update of t),
                   taken as (
                       update task t set claimable = false, state = $6, fence = fence + 1,
                           attempt = attempt + case when resume then 0 else 1 end, resume = false,
                           process = $1, epoch = $2, started_at = coalesce(started_at, now())
                       from picked p where t.id = p.id
                       returning t.id, t.run, t.key, t.profile, t.fence, t.attempt, t.ready_at, t.created_at, t.priority),
                   counted as (
                       update run r set active = active + n.taken, ready = ready - n.taken
                       from (select count(*) as taken from taken) n, chosen c
                       where r.id = c.id and n.taken > 0)
                   select id, run, key, profile, fence, attempt,
                       (extract(epoch from now() - ready_at) * 1000)::bigint as waited_ms,
                       case when fence = 1 then (extract(epoch from ready_at - created_at) * 1000)::bigint end
                           as depended_ms
                   from taken order by priority desc, id"#,
                holder.process.0,
                holder.epoch.0,
                slots,
                full_providers,
                &RunState::names(RunState::allows_claims),
                TaskState::Active.as_str(),
            )
            .fetch_all(&mut *tx.inner),
        )
        .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let (run, task) = (RunId(row.run), TaskId(row.id));
            let (fence, attempt) = (Fence(row.fence), row.attempt as u32);
            let attempt_id = tx.open_attempt(run, task, attempt, fence).await?;
            let event = Event::TaskClaimed { attempt, fence };
            tx.append(run, &[(Some(task), event)]).await?;
            let waited_ms = row.waited_ms.unwrap_or_default();
            let depended_ms = row.depended_ms.unwrap_or_default();
            claimed.push(Claimed {
                run,
                task,
                key: TaskKey(row.key),
                profile: row.profile,
                fence,
                attempt,
                attempt_id,
                waited_ms,
                depended_ms,
            });
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Shows at the tasks that would be claimed next which full provider they wait for, until they are claimed. Returns
    /// whether anything changed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn show_blocked_on_providers(&self, full_providers: &[String], slots: i64) -> Result<bool, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select id as "id!", run as "run!", fence as "fence!", reason as "reason!" from (
                       select t.id, t.run, t.fence, t.blocked_on,
                           'a free slot of provider ' || r.worker_provider as reason
                       from run r join task t on t.run = r.id
                       where r.ended_at is null and r.state = any ($3) and r.ready > 0 and r.active < r.max_active
                         and r.worker_provider = any($1) and t.claimable and (t.wake_at is null or t.wake_at <= now())
                       order by r.vtime, r.created_at, t.priority desc, t.id limit $2) next
                   where blocked_on is distinct from reason"#,
                full_providers,
                slots,
                &RunState::names(RunState::allows_claims),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let mut changed = false;
        for row in rows {
            let (run, task, fence) = (RunId(row.run), TaskId(row.id), Fence(row.fence));
            changed |= self.show_blocked_on(run, task, fence, Some(&row.reason)).await?;
        }
        Ok(changed)
    }

    /// Active tasks whose process is gone: its life is over, or it has been silent past its lease. The caller's own
    /// are none of them: it lives, whatever the database has heard of it while it could not be reached.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn lost_tasks(&self, holder: Holder) -> Result<Vec<Lost>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select t.run, t.id, t.fence,
                       exists (select 1 from attempt a join turn u on u.attempt = a.id
                               where a.task = t.id and a.fence = t.fence and u.ended_at > a.claimed_at)
                           as "progressed!"
                   from run r join task t on t.run = r.id left join process p on p.id = t.process
                   where r.ended_at is null and r.active > 0 and t.state = any ($3)
                     and (t.process, t.epoch) is distinct from ($1, $2)
                     and (p.id is null or p.epoch <> t.epoch or p.expires_at < now())
                   order by t.run, t.id limit 1000"#,
                holder.process.0,
                holder.epoch.0,
                &TaskState::names(TaskState::is_held),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Lost {
                run: RunId(row.run),
                task: TaskId(row.id),
                fence: Fence(row.fence),
                progressed: row.progressed,
            })
            .collect())
    }

    /// Active tasks that this life of this process holds, as the database has it.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn held_tasks(&self, holder: Holder) -> Result<Vec<Lost>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                r#"select t.run, t.id, t.fence,
                       exists (select 1 from attempt a join turn u on u.attempt = a.id
                               where a.task = t.id and a.fence = t.fence and u.ended_at > a.claimed_at)
                           as "progressed!"
                   from run r join task t on t.run = r.id
                   where r.ended_at is null and r.active > 0 and t.state = any ($3) and t.process = $1 and t.epoch = $2"#,
                holder.process.0,
                holder.epoch.0,
                &TaskState::names(TaskState::is_held),
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let held = rows.into_iter().map(|row| Lost {
            run: RunId(row.run),
            task: TaskId(row.id),
            fence: Fence(row.fence),
            progressed: row.progressed,
        });
        Ok(held.collect())
    }
}
