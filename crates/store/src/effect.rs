//! Effects other than work and merges: claimed by lease, performed, marked done.

use crate::{Error, Holder, Store, storable::text, timed::timed, tx::Tx};
use domain::{Fence, RunId, effect::Effect};
use std::time::Duration;

/// An effect that this process holds from now on.
#[derive(Clone, Debug)]
pub struct ClaimedEffect {
    /// Its row.
    pub id: i64,
    /// Its run.
    pub run: RunId,
    /// Its kind: `prepare`, `plan` or `deliver`.
    pub kind: String,
    /// How often it was claimed, this time among them.
    pub tries: u32,
    /// What its outcome names.
    pub fence: Fence,
}

impl Tx {
    /// Saves an effect to be performed. One that waits or is under way stays as it is; one that was done is done anew.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn insert_effect(&mut self, run: RunId, effect: &Effect) -> Result<(), Error> {
        let key = format!("{}:{run}", effect.kind());
        timed(
            "insert",
            sqlx::query!(
                "insert into effect (run, kind, key) values ($1, $2, $3)
                 on conflict (key) do update
                     set tries = 0, process = null, epoch = null, wake_at = null, error = null, done_at = null
                     where effect.done_at is not null",
                run.0,
                effect.kind(),
                key,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Marks an effect done, in the transaction that saves its outcome. `false` when it was claimed by another
    /// meanwhile: then the caller's transaction must not be committed.
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

    /// Marks what is still to be done for a run that ended as done unperformed.
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
}

impl Store {
    /// Claims one effect that nobody alive holds, of the kinds that the caller can perform: another kind may be a newer
    /// version's, and claiming it would use up its tries. `performing` are those that this process is at: any other
    /// that it holds was lost on the way, by an answer that never came, and is claimed again. `only` leaves other runs
    /// alone.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn claim_effect(
        &self,
        holder: Holder,
        performing: &[i64],
        kinds: &[&'static str],
        only: Option<RunId>,
    ) -> Result<Option<ClaimedEffect>, Error> {
        let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        // A row that another claimed and let go of since this statement began is read anew when it is locked, but
        // what it is joined with is not: it would look as if nobody held it. So it is taken only as it was seen.
        let row = timed(
            "update",
            sqlx::query!(
                "update effect set process = $1, epoch = $2, tries = tries + 1, fence = fence + 1
                 where id = (
                     select e.id from effect e
                     where e.done_at is null and (e.wake_at is null or e.wake_at <= now()) and e.id <> all ($3)
                       and e.kind = any ($4) and ($5::uuid is null or e.run = $5)
                       and ((e.process, e.epoch) = ($1, $2)
                            or not exists (select 1 from process p
                                           where p.id = e.process and p.epoch = e.epoch and p.expires_at >= now()))
                       and e.fence = (select seen.fence from effect seen where seen.id = e.id)
                     order by e.id limit 1 for update of e skip locked)
                 returning id, run, kind, tries, fence",
                holder.process.0,
                holder.epoch.0,
                performing,
                &kinds,
                only.map(|run| run.0),
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.map(|row| ClaimedEffect {
            id: row.id,
            run: RunId(row.run),
            kind: row.kind,
            tries: row.tries as u32,
            fence: Fence(row.fence),
        }))
    }

    /// Gives an effect back to be tried again after a while, unless another has claimed it meanwhile. What was no try,
    /// because something it needs is away, is not `counted` as one.
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

    /// Gives an effect back as if it had not been claimed: the process is being stopped.
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

    /// How many effects of each kind wait or are under way.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn open_effects(&self) -> Result<Vec<(String, i64)>, Error> {
        let rows = timed(
            "select",
            sqlx::query!(r#"select kind, count(*) as "count!" from effect where done_at is null group by kind"#)
                .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.count)).collect())
    }
}
