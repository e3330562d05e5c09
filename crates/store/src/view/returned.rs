//! Attempts that did not end in landed work, each with its reason.

use super::Views;
use crate::{Error, task::change, timed::timed};
use domain::{MergeId, RunId, TaskId, TaskKey, merge::MergeState, run::Reason, task::AttemptEnd};
use sqlx::types::Json;
use std::collections::HashMap;
use time::OffsetDateTime;

/// An attempt whose work went back, or was never submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnedAttempt {
    /// The attempt, from 1.
    pub attempt: i32,
    /// Why it did not land.
    pub reason: Reason,
    /// The merge that ended without landing; `None` where the attempt failed before it was merged.
    pub merge: Option<MergeId>,
    /// When it was returned.
    pub at: Option<OffsetDateTime>,
}

impl Views {
    /// The returned attempts of a run's tasks, or of one of them, each task's from the first.
    pub(super) async fn returned_attempts(
        &self,
        run: RunId,
        only: Option<&TaskKey>,
    ) -> Result<HashMap<TaskId, Vec<ReturnedAttempt>>, Error> {
        let mut returned = self.failed_attempts(run, only).await?;
        returned.extend(self.rejected_merges(run, only).await?);
        returned.sort_by_key(|(_, attempt)| (attempt.attempt, attempt.at));
        let mut by_task: HashMap<TaskId, Vec<ReturnedAttempt>> = HashMap::new();
        for (task, attempt) in returned {
            by_task.entry(task).or_default().push(attempt);
        }
        Ok(by_task)
    }

    /// Attempts that ended without work to merge.
    async fn failed_attempts(
        &self,
        run: RunId,
        only: Option<&TaskKey>,
    ) -> Result<Vec<(TaskId, ReturnedAttempt)>, Error> {
        let query = sqlx::query!(
            r#"select a.task, a.number, t.change, a.finish_end as "end!: Json<AttemptEnd>", a.ended_at
               from attempt a join task t on t.id = a.task
               where a.run = $1 and ($2::text is null or t.key = $2) and a.ended_at is not null
                 and a.finish_end is not null"#,
            run.0,
            only.map(|key| key.0.as_str()),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut failed = Vec::new();
        for row in rows {
            failed.extend(row.end.0.failure(change(&row.change)?).map(|reason| {
                let attempt = ReturnedAttempt {
                    attempt: row.number,
                    reason,
                    merge: None,
                    at: row.ended_at,
                };
                (TaskId(row.task), attempt)
            }));
        }
        Ok(failed)
    }

    /// Attempts whose merge ended without landing.
    async fn rejected_merges(
        &self,
        run: RunId,
        only: Option<&TaskKey>,
    ) -> Result<Vec<(TaskId, ReturnedAttempt)>, Error> {
        let query = sqlx::query!(
            r#"select m.task, m.attempt, m.id, m.reason as "reason!: Json<Reason>", m.ended_at
               from merge m join task t on t.id = m.task
               where m.run = $1 and ($2::text is null or t.key = $2) and m.state = any ($3)
                 and m.reason is not null"#,
            run.0,
            only.map(|key| key.0.as_str()),
            &MergeState::names(MergeState::can_be_resubmitted),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let rejected = rows.into_iter().map(|row| {
            let attempt = ReturnedAttempt {
                attempt: row.attempt,
                reason: row.reason.0,
                merge: Some(MergeId(row.id)),
                at: row.ended_at,
            };
            (TaskId(row.task), attempt)
        });
        Ok(rejected.collect())
    }
}
