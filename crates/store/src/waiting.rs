//! Merges that wait for a person, and what people decided.

use crate::{
    Error, Store,
    merge::Hold,
    storable::{document, text},
    timed::timed,
    tx::Tx,
    view::conflict_paths,
};
use domain::{
    CommitId, MergeId, RunId, TaskId, TaskKey,
    merge::{Answer, Choice, MergeState},
    run::{Reason, ReasonCode},
};
use time::OffsetDateTime;

/// A merge, as whoever answers for a person needs to know it.
#[derive(Clone, Debug)]
pub struct AskedMerge {
    /// Its run.
    pub run: RunId,
    /// Whose work.
    pub task: TaskId,
    /// The task's name.
    pub key: TaskKey,
    /// Which try of the task.
    pub attempt: u32,
    /// Where it stands.
    pub state: MergeState,
    /// The frozen work.
    pub commit: CommitId,
    /// The tip it met a conflict with.
    pub tip: Option<CommitId>,
    /// Whether a conflict was met.
    pub conflicted: bool,
    /// Milliseconds that were worked on it before it began to wait.
    pub merge_ms: i64,
    /// The conflicting paths, as they met last.
    pub conflicts: Vec<String>,
    /// The name of its workspace's hub.
    pub hub: String,
    /// When the trees of its run were given up.
    pub expired_at: Option<OffsetDateTime>,
}

/// What a person decided about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// The path.
    pub path: String,
    /// The versions that met there: base, ours, theirs.
    pub versions: [Option<String>; 3],
    /// What.
    pub choice: Choice,
    /// Who, as they call themselves.
    pub by: String,
}

impl Tx {
    /// Takes a merge out of the queue until a person has decided. `false` when the lease is lost, or the merge has
    /// ended or is to land as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn ask_person(&mut self, hold: Hold<'_>, why: &Reason, merge_ms: i64) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set state = $6, reason = $4, waiting_since = now(), merge_ms = $5
                 where id = $1 and ended_at is null and intended_at is null
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                document("merge.reason", why)?,
                merge_ms,
                MergeState::Waiting.as_str(),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Acts on a person's answer: the merge is queued again where it stood, or has ended. `false` when it does not
    /// wait for a person, or not with that tip. The run's row is locked.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn person_answered(
        &mut self,
        merge: MergeId,
        tip: Option<&CommitId>,
        answer: &Answer,
    ) -> Result<bool, Error> {
        let (state, code, words) = match answer {
            Answer::Resolved { .. } => (MergeState::Queued, ReasonCode::Conflict, None),
            Answer::SentBack { note } => (MergeState::Rejected, ReasonCode::Conflict, Some(note)),
            Answer::Abandoned { reason } => (MergeState::Rejected, ReasonCode::Requested, Some(reason)),
        };
        let reason = words.map(|words| document("merge.reason", &Reason::new(code, words)));
        let reason = reason.transpose()?;
        // Its wait in the queue was counted, and is not again; what it does from here on is begun anew.
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set state = $3, reason = $4, claims = 1, waiting_since = null,
                     ended_at = case when $5 then now() end
                 where id = $1 and state = any ($6) and ended_at is null and tip is not distinct from $2",
                merge.0,
                tip.map(|tip| tip.0.as_str()),
                state.as_str(),
                reason,
                state.is_final(),
                &MergeState::names(MergeState::waits_for_person),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes what a person decided about a path, in place of what was decided about it before.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_answer(&mut self, merge: MergeId, answer: &AnswerRow) -> Result<(), Error> {
        let [base, ours, theirs] = &answer.versions;
        let content = match &answer.choice {
            Choice::Content(content) => Some(content.as_slice()),
            Choice::Ours | Choice::Theirs | Choice::Delete => None,
        };
        timed(
            "insert",
            sqlx::query!(
                "insert into conflict_decision (merge, path, attempt, base, ours, theirs, decision, content, decided_by)
                 select id, $2, attempt, $3, $4, $5, $6, $7, $8 from merge where id = $1
                 on conflict (merge, path) do update
                     set attempt = excluded.attempt, base = excluded.base, ours = excluded.ours,
                         theirs = excluded.theirs, decision = excluded.decision, content = excluded.content,
                         decided_by = excluded.decided_by, decided_at = now()",
                merge.0,
                answer.path,
                base.as_deref(),
                ours.as_deref(),
                theirs.as_deref(),
                answer.choice.as_str(),
                content,
                &*text(&answer.by),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Takes back what a person decided about a path, if anything.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn withdraw_answer(&mut self, merge: MergeId, path: &str) -> Result<(), Error> {
        let query = sqlx::query!(
            "delete from conflict_decision where merge = $1 and path = $2",
            merge.0,
            path
        );
        timed("delete", query.execute(&mut *self.inner)).await?;
        Ok(())
    }
}

impl Store {
    /// A merge, for whoever answers for a person; `None` where there is none.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn asked_merge(&self, merge: MergeId) -> Result<Option<AskedMerge>, Error> {
        let row = timed(
            "select",
            sqlx::query!(
                r#"select m.run, m.task, t.key, m.attempt, m.state, m.commit, m.tip, w.hub, m.merge_ms,
                       m.conflicts, r.expired_at,
                       m.conflicts <> '[]'::jsonb or m.waiting_since is not null as "conflicted!"
                   from merge m join task t on t.id = m.task join run r on r.id = m.run
                   join workspace w on w.id = r.workspace where m.id = $1"#,
                merge.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        row.map(|row| {
            Ok(AskedMerge {
                run: RunId(row.run),
                task: TaskId(row.task),
                key: TaskKey(row.key),
                attempt: row.attempt as u32,
                state: MergeState::parse(&row.state).ok_or_else(|| Error::corrupt("merge.state", &row.state))?,
                commit: CommitId(row.commit),
                tip: row.tip.map(CommitId),
                conflicted: row.conflicted,
                merge_ms: row.merge_ms.unwrap_or(0),
                conflicts: conflict_paths(Some(&row.conflicts)),
                hub: row.hub,
                expired_at: row.expired_at,
            })
        })
        .transpose()
    }

    /// What people decided about the paths of a merge, for the present try of its task.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn person_answers(&self, merge: MergeId) -> Result<Vec<AnswerRow>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(
                "select a.path, a.base, a.ours, a.theirs, a.decision, a.content, a.decided_by
                 from conflict_decision a join merge m on m.id = a.merge and m.attempt = a.attempt
                 where a.merge = $1 order by a.path",
                merge.0,
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let answers = rows.into_iter().map(|row| {
            let choice = Choice::parse(&row.decision, row.content);
            Ok(AnswerRow {
                path: row.path,
                versions: [row.base, row.ours, row.theirs],
                choice: choice.ok_or_else(|| Error::corrupt("conflict_decision.decision", &row.decision))?,
                by: row.decided_by,
            })
        });
        answers.collect()
    }

    /// How many merges wait for a person.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn merges_waiting(&self) -> Result<i64, Error> {
        let query = sqlx::query!(
            r#"select count(*) as "count!" from merge where ended_at is null and state = any ($1)"#,
            &MergeState::names(MergeState::waits_for_person),
        );
        Ok(timed("select", query.fetch_one(&self.pool)).await?.count)
    }
}
