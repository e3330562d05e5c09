//! The steps of a merge. Each names the lease it is made under and its fence: one that is old changes nothing.

use crate::{
    Error, Store,
    lease::Lease,
    storable::{self, document},
    timed::timed,
    tx::Tx,
};
use domain::{
    CommitId, MergeId,
    gate::GateReport,
    merge::{MergeEnd, MergeState},
};
use serde_json::Value;

/// Under what a merge is worked on.
#[derive(Clone, Copy, Debug)]
pub struct Hold<'a> {
    /// Which merge.
    pub merge: MergeId,
    /// The lease on its branch.
    pub lease: &'a Lease,
}

/// What the trees were brought together to.
#[derive(Clone, Copy, Debug)]
pub struct BroughtRow<'a> {
    /// The commit it was merged onto.
    pub tip: &'a CommitId,
    /// `fast` or `ort`.
    pub method: &'a str,
    /// The conflicts that were met.
    pub conflicts: &'a Value,
    /// The merge commit and its tree, once everything is decided.
    pub merged: Option<(&'a CommitId, &'a str)>,
    /// The gate's report, where it is known at once: no gate is configured.
    pub gate: Option<&'a GateReport>,
}

impl Store {
    /// Whether a merge can still be worked on: its lease is held, and it has not ended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn is_merging(&self, hold: Hold<'_>) -> Result<bool, Error> {
        let query = sqlx::query!(
            r#"select exists (select 1 from merge m join lease l on l.name = $2 and l.fence = $3
                   where m.id = $1 and m.ended_at is null) as "merging!""#,
            hold.merge.0,
            hold.lease.name(),
            hold.lease.fence().0,
        );
        Ok(timed("select", query.fetch_one(&self.pool)).await?.merging)
    }
}

impl Store {
    /// Notes that a merge could not be worked on, and why; returns how often that happened. `None` when the lease is
    /// lost or the merge has ended.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn merge_failed(&self, hold: Hold<'_>, why: &str) -> Result<Option<u32>, Error> {
        let query = sqlx::query!(
            "update merge set failures = failures + 1, last_failure = $4 where id = $1 and ended_at is null
               and exists (select 1 from lease l where l.name = $2 and l.fence = $3)
             returning failures",
            hold.merge.0,
            hold.lease.name(),
            hold.lease.fence().0,
            &*storable::text(why),
        );
        let row = timed("update", query.fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| row.failures as u32))
    }
}

impl Tx {
    /// A merger takes up an entry, which is counted where that is asked for. `false` when the lease is lost, or the merge has ended or waits
    /// for a person.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin_merge(&mut self, hold: Hold<'_>, counted: bool) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set state = $5, claims = claims + $4, started_at = coalesce(started_at, now()),
                     wait_ms = coalesce(wait_ms, (extract(epoch from now() - queued_at) * 1000)::bigint)
                 where id = $1 and ended_at is null and state = any ($6)
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                i32::from(counted),
                MergeState::Merging.as_str(),
                &MergeState::names(MergeState::is_mergeable),
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes what the trees were brought together to, and the step that comes next. `false` when the lease is lost,
    /// or the merge has ended or is to land as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn brought(&mut self, hold: Hold<'_>, state: MergeState, row: BroughtRow<'_>) -> Result<bool, Error> {
        let gate = row.gate.map(|gate| document("merge.gate", gate)).transpose()?;
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set state = $4, tip = $5, method = $6, conflicts = $7, merged = $8, tree = $9, gate = $10
                 where id = $1 and ended_at is null and intended_at is null
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                state.as_str(),
                row.tip.0,
                row.method,
                storable::json(row.conflicts),
                row.merged.map(|(commit, _)| commit.0.as_str()),
                row.merged.map(|(_, tree)| tree),
                gate,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Saves the gate's report on a merge commit. `false` when the lease is lost, or the merge has ended or is no
    /// longer about that commit.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_gate(&mut self, hold: Hold<'_>, merged: &CommitId, gate: &GateReport) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set gate = $5 where id = $1 and ended_at is null and merged = $4
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                merged.0,
                document("merge.gate", gate)?,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes the intent to land, as the `place`-th of those that land in the same move of the branch: from here on
    /// the merge is finished by whoever recovers first. `false` when the lease is lost or the merge has ended: then
    /// nothing may be moved.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn intend_landing(
        &mut self,
        hold: Hold<'_>,
        tip: &CommitId,
        merged: &CommitId,
        place: usize,
    ) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set tip = $4, merged = $5, intended_at = now(), intent_fence = $3, intent_place = $6
                 where id = $1 and ended_at is null
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                tip.0,
                merged.0,
                place as i32,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes how a merge ended and how long it worked, without the gate. `false` when the lease is lost or the merge
    /// has ended: then the caller's transaction must not be committed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn end_merge(&mut self, hold: Hold<'_>, end: &MergeEnd, merge_ms: i64) -> Result<bool, Error> {
        let (state, reason, commit) = match end {
            MergeEnd::Landed { commit } => (MergeState::Landed, None, Some(commit.0.as_str())),
            MergeEnd::Rejected { reason } => (MergeState::Rejected, Some(reason), None),
            MergeEnd::Error { reason } => (MergeState::Error, Some(reason), None),
        };
        let reason = reason.map(|reason| document("merge.reason", reason)).transpose()?;
        let done = timed(
            "update",
            sqlx::query!(
                "update merge set state = $4, reason = $5, merged = coalesce($6, merged), merge_ms = $7,
                     ended_at = now() where id = $1 and ended_at is null
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
                state.as_str(),
                reason,
                commit,
                merge_ms,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
