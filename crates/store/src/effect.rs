//! Effects other than work and merges: claimed by lease, performed, marked done.

use crate::{Error, Holder, Store, timed::timed, tx::Tx};
use domain::{RunId, effect::Effect};
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
}

impl Tx {
    /// Saves an effect to be performed. One that is there already stays as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn insert_effect(&mut self, run: RunId, effect: &Effect) -> Result<(), Error> {
        let key = format!("{}:{run}", effect.kind());
        timed(
            "insert",
            sqlx::query!(
                "insert into effect (run, kind, key) values ($1, $2, $3) on conflict (key) do nothing",
                run.0,
                effect.kind(),
                key,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }

    /// Marks an effect done, in the transaction that saves its outcome.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn finish_effect(&mut self, effect: i64) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!("update effect set done_at = now() where id = $1 and done_at is null", effect)
                .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// Claims one effect that nobody alive holds. Effects of runs that have ended are marked done unperformed.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn claim_effect(&self, holder: Holder) -> Result<Option<ClaimedEffect>, Error> {
        timed(
            "update",
            sqlx::query!(
                "update effect e set done_at = now(), error = 'the run had ended'
                 from run r where r.id = e.run and e.done_at is null and r.ended_at is not null"
            )
            .execute(&self.pool),
        )
        .await?;
        let row = timed(
            "update",
            sqlx::query!(
                "update effect set process = $1, epoch = $2, tries = tries + 1
                 where id = (
                     select e.id from effect e
                     where e.done_at is null and (e.wake_at is null or e.wake_at <= now())
                       and not exists (select 1 from process p
                                       where p.id = e.process and p.epoch = e.epoch and p.expires_at >= now())
                     order by e.id limit 1 for update of e skip locked)
                 returning id, run, kind, tries",
                holder.process.0,
                holder.epoch.0,
            )
            .fetch_optional(&self.pool),
        )
        .await?;
        Ok(row.map(|row| ClaimedEffect {
            id: row.id,
            run: RunId(row.run),
            kind: row.kind,
            tries: row.tries as u32,
        }))
    }

    /// Gives an effect back to be tried again after a while.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn retry_effect(&self, effect: i64, error: &str, wait: Duration) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update effect set process = null, epoch = null, error = $2,
                     wake_at = now() + make_interval(secs => $3) where id = $1 and done_at is null",
                effect,
                error,
                wait.as_secs_f64(),
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
            sqlx::query!(
                r#"select kind, count(*) as "count!" from effect where done_at is null group by kind"#
            )
            .fetch_all(&self.pool),
        )
        .await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.count)).collect())
    }
}
