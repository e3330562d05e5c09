//! Cancels and delivers runs on request.

use super::{CancelError, DeliverError};
use crate::{
    context::{StepError, step},
    engine::Engine,
};
use domain::{RunId, input::Input, transition::Refusal};

impl Engine {
    /// Cancels a run. Safe to repeat.
    ///
    /// # Errors
    /// When there is no such run, or it can't be cancelled any more.
    pub async fn cancel(&self, run: RunId) -> Result<(), CancelError> {
        let mut tx = self.context.store.begin().await.map_err(internal)?;
        match step::apply(&mut tx, run, None, Input::CancelRequested).await {
            Ok(applied) => {
                tx.commit().await.map_err(internal)?;
                self.context.applied(&applied);
                Ok(())
            }
            Err(StepError::Refused(Refusal::Stale(_))) => Ok(()),
            Err(StepError::Refused(Refusal::Illegal(message))) => Err(CancelError::Refused(message)),
            Err(StepError::Unknown(run)) => Err(CancelError::NotFound(run)),
            Err(StepError::Store(error)) => Err(internal(error)),
        }
    }

    /// Delivers a run's branch again. Safe to repeat while it is being delivered. With consent the checkout is fast-forwarded
    /// for a run with integrity flags; consent is never withdrawn.
    ///
    /// # Errors
    /// When there is no such run, or not all of its tasks have landed.
    pub async fn deliver(&self, run: RunId, allow_integrity_flags: bool) -> Result<(), DeliverError> {
        let internal = |error: store::Error| DeliverError::Internal(error.to_string());
        let mut tx = self.context.store.begin().await.map_err(internal)?;
        let locked = tx.lock_run(run).await.map_err(internal)?;
        locked.ok_or(DeliverError::NotFound(run))?;
        if tx.is_expired(run).await.map_err(internal)? {
            return Err(DeliverError::Refused(
                "the data of the run has expired (retention), so there is nothing left to deliver; a branch that was \
                 delivered before is in your repository"
                    .into(),
            ));
        }
        if allow_integrity_flags {
            tx.allow_integrity_flags(run).await.map_err(internal)?;
        }
        if tx.is_delivering(run).await.map_err(internal)? {
            return tx.commit().await.map_err(internal);
        }
        let input = Input::DeliveryRequested { allow_integrity_flags };
        match step::apply(&mut tx, run, None, input).await {
            Ok(applied) => {
                tx.commit().await.map_err(internal)?;
                self.context.applied(&applied);
                Ok(())
            }
            Err(StepError::Refused(Refusal::Stale(_))) => Ok(()),
            Err(StepError::Refused(Refusal::Illegal(message))) => Err(DeliverError::Refused(message)),
            Err(StepError::Unknown(run)) => Err(DeliverError::NotFound(run)),
            Err(StepError::Store(error)) => Err(internal(error)),
        }
    }
}

fn internal(error: store::Error) -> CancelError {
    CancelError::Internal(error.to_string())
}
