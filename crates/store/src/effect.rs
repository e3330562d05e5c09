//! Effects: claimed under a lease, performed, marked done.

use crate::{Error, Holder, Store, storable::text, timed::timed, tx::Tx};
use domain::{
    Fence, RunId,
    effect::{Effect, EffectKind, UnknownEffect},
};
use std::time::Duration;

/// Effects that are looked at in one query after the oldest one turned out to be unknown.
const BATCH: i64 = 64;

/// An effect that this process holds from now on.
#[derive(Clone, Debug)]
pub struct ClaimedEffect {
    /// Its row.
    pub id: i64,
    /// Its run.
    pub run: RunId,
    /// What to do.
    pub effect: Effect,
    /// How often it was claimed, this time included.
    pub tries: u32,
    /// The fence that its outcome names.
    pub fence: Fence,
}

impl Tx {
    /// Saves an effect to be performed. An open one with the same key stays as it is; one that was done is opened again.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn insert_effect(&mut self, run: RunId, effect: &Effect) -> Result<(), Error> {
        let payload = effect
            .payload()
            .map_err(|error| Error::encoding("effect.payload", error))?;
        timed(
            "insert",
            sqlx::query!(
                "insert into effect (run, kind, key, payload) values ($1, $2, $3, $4)
                 on conflict (key) do update
                     set payload = excluded.payload, tries = 0, process = null, epoch = null, wake_at = null,
                         error = null, done_at = null
                     where effect.done_at is not null",
                run.0,
                effect.kind().as_str(),
                effect.key(run),
                payload,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Marks an effect done, in the transaction that saves its outcome. `false` when another process has claimed it:
    /// then the caller's transaction must not be committed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn finish_effect(&mut self, effect: &ClaimedEffect) -> Result<bool, Error> {
        let done = timed(
            "update",
            sqlx::query!(
                "update effect set done_at = now(), error = null where id = $1 and fence = $2",
                effect.id,
                effect.fence.0,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks the open effects of a finished run as done without performing them.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn drop_effects(&mut self, run: RunId) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update effect set done_at = now(), error = 'the run had ended' where run = $1 and done_at is null",
                run.0,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// The oldest effect after `after` that can be claimed and that this version knows, locked. Unknown ones are
    /// skipped without a change: a newer version performs them.
    async fn lock_claimable_effect(
        &mut self,
        holder: Holder,
        performing: &[i64],
        kinds: &[EffectKind],
        only: Option<RunId>,
    ) -> Result<Option<(i64, Effect)>, Error> {
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let (mut after, mut batch) = (0, 1);
        loop {
            // `skip locked` reads a row again after locking it, but not what it is joined with: a row that another
            // process claimed and released meanwhile would look unclaimed. The fence shows such a change.
            let query = sqlx::query!(
                "select e.id, e.kind, e.payload from effect e
                 where e.done_at is null and (e.wake_at is null or e.wake_at <= now()) and e.id <> all ($3)
                   and e.kind = any ($4) and ($5::uuid is null or e.run = $5) and e.id > $6
                   and ((e.process, e.epoch) = ($1, $2)
                        or not exists (select 1 from process p
                                       where p.id = e.process and p.epoch = e.epoch and p.expires_at >= now()))
                   and e.fence = (select seen.fence from effect seen where seen.id = e.id)
                 order by e.id limit $7 for update of e skip locked",
                holder.process.0,
                holder.epoch.0,
                performing,
                &kinds,
                only.map(|run| run.0),
                after,
                batch,
            );
            let rows = timed("select", query.fetch_all(&mut *self.inner)).await?;
            let Some(last) = rows.last() else {
                return Ok(None);
            };
            (after, batch) = (last.id, BATCH);
            let known = rows
                .into_iter()
                .find_map(|row| Some((row.id, Effect::decode(&row.kind, row.payload).ok()?)));
            if known.is_some() {
                return Ok(known);
            }
        }
    }
}

impl Store {
    /// Claims one effect that no live process holds, of the kinds that the caller performs. Effects that this version
    /// does not know stay untouched.
    ///
    /// `performing` are the effects that this process is working on: another one under its name was lost because the
    /// answer to its claim never arrived, and is claimed again. `only` limits the claim to one run.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn claim_effect(
        &self,
        holder: Holder,
        performing: &[i64],
        kinds: &[EffectKind],
        only: Option<RunId>,
    ) -> Result<Option<ClaimedEffect>, Error> {
        let mut tx = self.begin().await?;
        let Some((id, effect)) = tx.lock_claimable_effect(holder, performing, kinds, only).await? else {
            return Ok(None);
        };
        let query = sqlx::query!(
            "update effect set process = $1, epoch = $2, tries = tries + 1, fence = fence + 1
             where id = $3 returning run, tries, fence",
            holder.process.0,
            holder.epoch.0,
            id,
        );
        let row = timed("update", query.fetch_one(&mut *tx.inner)).await?;
        tx.commit().await?;
        Ok(Some(ClaimedEffect {
            id,
            run: RunId(row.run),
            effect,
            tries: row.tries as u32,
            fence: Fence(row.fence),
        }))
    }

    /// Releases an effect to be retried after a wait, unless another process has claimed it. A try that failed because
    /// something it needs is missing is not `counted`.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn retry_effect(
        &self,
        effect: &ClaimedEffect,
        error: &str,
        wait: Duration,
        counted: bool,
    ) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update effect set process = null, epoch = null, error = $3, tries = greatest(tries - $5, 0),
                     wake_at = now() + make_interval(secs => $4) where id = $1 and fence = $2 and done_at is null",
                effect.id,
                effect.fence.0,
                &*text(error),
                wait.as_secs_f64(),
                i32::from(!counted),
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Releases an effect as if it had not been claimed, because the process is being stopped.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn release_effect(&self, effect: &ClaimedEffect) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update effect set process = null, epoch = null, tries = tries - 1
                 where id = $1 and fence = $2 and done_at is null",
                effect.id,
                effect.fence.0,
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(())
    }

    /// Effects that wait or are being performed, counted: known ones by kind, and those that this version can't read.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn open_effects(&self) -> Result<Vec<(Result<EffectKind, UnknownEffect>, i64)>, Error> {
        let query = sqlx::query!(
            r#"select kind, payload, count(*) as "count!" from effect where done_at is null group by kind, payload"#
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let counted = rows.into_iter().map(|row| {
            let effect = Effect::decode(&row.kind, row.payload);
            (effect.map(|effect| effect.kind()), row.count)
        });
        Ok(counted.collect())
    }
}
