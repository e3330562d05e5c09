//! What is recorded of handing a run's work over.

use crate::{Error, Store, effect::ClaimedEffect, storable::document, timed::timed, tx::Tx};
use domain::{
    CommitId, RunId,
    delivery::{Delivery, DeliveryStep, DeliveryStepEnd, PushIntent},
    effect::EffectKind,
};
use sqlx::types::Json;

impl Tx {
    /// Forgets what came of the last delivery: another one begins. The log keeps it.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin_delivery(&mut self, run: RunId) -> Result<(), Error> {
        self.save_delivery(run, &Delivery::default()).await
    }

    /// Saves that a push is about to be made.
    ///
    /// # Errors
    /// When the database can't be reached, or what is stored can't be read.
    pub async fn save_push_intent(&mut self, run: RunId, intent: &PushIntent) -> Result<(), Error> {
        let mut delivery = self.delivery(run).await?;
        delivery.push_intent = Some(intent.clone());
        self.save_delivery(run, &delivery).await
    }

    /// Saves what came of a step; the first good one makes its commit the delivered one.
    ///
    /// # Errors
    /// When the database can't be reached, or what is stored can't be read.
    pub async fn save_delivery_step(&mut self, run: RunId, end: &DeliveryStepEnd) -> Result<(), Error> {
        let mut delivery = self.delivery(run).await?;
        delivery.record(end.clone());
        self.save_delivery(run, &delivery).await?;
        if end.step == DeliveryStep::Branch && end.result.is_good() {
            self.save_delivered_commit(run, &end.commit).await?;
        }
        Ok(())
    }

    /// Whether an effect is still this process's to perform.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn holds_effect(&mut self, effect: &ClaimedEffect) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists (select 1 from effect where id = $1 and fence = $2 and done_at is null) as "held!""#,
            effect.id,
            effect.fence.0,
        );
        Ok(timed("select", query.fetch_one(&mut *self.inner)).await?)
    }

    /// Whether a delivery of the run waits or is under way.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn is_delivering(&mut self, run: RunId) -> Result<bool, Error> {
        let query = sqlx::query_scalar!(
            r#"select exists (select 1 from effect where run = $1 and kind = $2 and done_at is null) as "open!""#,
            run.0,
            EffectKind::Deliver.as_str(),
        );
        Ok(timed("select", query.fetch_one(&mut *self.inner)).await?)
    }

    async fn delivery(&mut self, run: RunId) -> Result<Delivery, Error> {
        let query = sqlx::query_scalar!(
            r#"select delivery as "delivery: Json<Delivery>" from run where id = $1"#,
            run.0,
        );
        Ok(timed("select", query.fetch_one(&mut *self.inner)).await?.0)
    }

    async fn save_delivery(&mut self, run: RunId, delivery: &Delivery) -> Result<(), Error> {
        let delivery = document("run.delivery", delivery)?;
        let query = sqlx::query!("update run set delivery = $2 where id = $1", run.0, delivery);
        timed("update", query.execute(&mut *self.inner)).await?;
        Ok(())
    }

    async fn save_delivered_commit(&mut self, run: RunId, commit: &CommitId) -> Result<(), Error> {
        let query = sqlx::query!("update run set delivered_commit = $2 where id = $1", run.0, commit.0);
        timed("update", query.execute(&mut *self.inner)).await?;
        Ok(())
    }
}

impl Store {
    /// What came of a run's delivery so far.
    ///
    /// # Errors
    /// When the database can't be reached, or what is stored can't be read.
    pub async fn delivery(&self, run: RunId) -> Result<Delivery, Error> {
        let query = sqlx::query_scalar!(
            r#"select delivery as "delivery: Json<Delivery>" from run where id = $1"#,
            run.0,
        );
        let found = timed("select", query.fetch_optional(&self.pool)).await?;
        Ok(found.map(|delivery| delivery.0).unwrap_or_default())
    }
}
