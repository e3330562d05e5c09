//! Runs, as lists and one by one.

use super::Views;
use crate::{Error, timed::timed};
use domain::{
    NanoDollars, RunId,
    merge::MergeState,
    run::{Reason, RunState},
    task::TaskState,
};
use sqlx::types::Json;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// The most runs one page holds.
const PAGE: u32 = 200;

/// How many tasks stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// They wait for others.
    pub planned: i64,
    /// They can be claimed.
    pub ready: i64,
    /// A worker holds them.
    pub active: i64,
    /// Their work is in the merge queue.
    pub merging: i64,
    /// Their work has landed.
    pub complete: i64,
    /// They failed for good.
    pub failed: i64,
    /// They will not be done.
    pub cancelled: i64,
}

impl TaskCounts {
    fn new(states: BTreeMap<String, i64>) -> Result<Self, Error> {
        let mut counts = Self::default();
        for (name, count) in states {
            let own = match super::task::task_state(&name)? {
                TaskState::Planned => &mut counts.planned,
                TaskState::Ready => &mut counts.ready,
                TaskState::Active => &mut counts.active,
                TaskState::Merging => &mut counts.merging,
                TaskState::Complete => &mut counts.complete,
                TaskState::Failed => &mut counts.failed,
                TaskState::Cancelled => &mut counts.cancelled,
            };
            *own = count;
        }
        Ok(counts)
    }

    /// All of them.
    pub fn total(&self) -> i64 {
        self.planned + self.ready + self.active + self.merging + self.complete + self.failed + self.cancelled
    }
}

/// A run, as a line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Which run.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why it ended without success.
    pub reason: Option<Reason>,
    /// What was asked for.
    pub objective: String,
    /// The user's repository.
    pub workspace: String,
    /// The branch in the user's repository.
    pub branch: String,
    /// Its tasks by state.
    pub tasks: TaskCounts,
    /// Merges that wait for a person.
    pub waiting: i64,
    /// Settled cost of its calls to models.
    pub spent: NanoDollars,
    /// What it may cost; `None` for no cap.
    pub cap: Option<NanoDollars>,
    /// When it was submitted.
    pub created_at: OffsetDateTime,
    /// When it reached its final state.
    pub ended_at: Option<OffsetDateTime>,
}

/// Which runs to list.
#[derive(Clone, Copy, Debug)]
pub struct RunFilter {
    /// Only those that stand there.
    pub state: Option<RunState>,
    /// Only those submitted before this one: the last of the page before.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}

/// A page of the list, newest first.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<RunId>,
}

impl Views {
    /// A page of runs, newest first.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn runs(&self, filter: RunFilter) -> Result<RunPage, Error> {
        let limit = filter.limit.clamp(1, PAGE);
        let mut runs = self.summaries(filter, i64::from(limit) + 1, None).await?;
        let more = runs.len() > limit as usize;
        runs.truncate(limit as usize);
        let next = runs.last().filter(|_| more).map(|run| run.id);
        Ok(RunPage { runs, next })
    }

    /// One run, as a line of a list.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn run_summary(&self, run: RunId) -> Result<Option<RunSummary>, Error> {
        let everything = RunFilter {
            state: None,
            before: None,
            limit: 1,
        };
        Ok(self.summaries(everything, 1, Some(run)).await?.pop())
    }

    async fn summaries(&self, filter: RunFilter, limit: i64, only: Option<RunId>) -> Result<Vec<RunSummary>, Error> {
        let query = sqlx::query!(
            r#"select r.id, r.state, r.reason as "reason: Json<Reason>", r.objective, w.path as workspace, r.branch,
                   r.created_at, r.ended_at, b.spent, b.cap,
                   (select count(*) from merge m where m.run = r.id and m.ended_at is null and m.state = any ($5))
                       as "waiting!",
                   t.counts as "tasks?: Json<BTreeMap<String, i64>>"
               from run r
               join workspace w on w.id = r.workspace
               join budget b on b.run = r.id
               cross join lateral (
                   select jsonb_object_agg(s.state, s.count) as counts
                   from (select state, count(*) as count from task where run = r.id group by state) s) t
               where ($1::text is null or r.state = $1)
                 and ($2::uuid is null
                      or (r.created_at, r.id) < (select c.created_at, c.id from run c where c.id = $2))
                 and ($4::uuid is null or r.id = $4)
               order by r.created_at desc, r.id desc limit $3"#,
            filter.state.map(RunState::as_str),
            filter.before.map(|run| run.0),
            limit,
            only.map(|run| run.0),
            &MergeState::names(MergeState::waits_for_person),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(RunSummary {
                id: RunId(row.id),
                state: run_state(&row.state)?,
                reason: row.reason.map(|reason| reason.0),
                objective: row.objective,
                workspace: row.workspace,
                branch: row.branch,
                tasks: TaskCounts::new(row.tasks.map(|counts| counts.0).unwrap_or_default())?,
                waiting: row.waiting,
                spent: NanoDollars(row.spent),
                cap: row.cap.map(NanoDollars),
                created_at: row.created_at,
                ended_at: row.ended_at,
            });
        }
        Ok(runs)
    }
}

pub(super) fn run_state(text: &str) -> Result<RunState, Error> {
    RunState::parse(text).ok_or_else(|| Error::corrupt("run.state", text))
}
