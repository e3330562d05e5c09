//! The ledger of model calls, in the database.

use super::{Context, ProviderWait, RetryPolicy};
use async_trait::async_trait;
use domain::{RunId, TaskId, event::Event};
use llm::{CallId, CallOutcome, CallStatus, Ledger, PlannedCall, ProviderSlot, Refusal};
use std::{sync::Arc, time::Duration};
use store::ledger::{Reservation, Reserved, Settlement};
use telemetry::secrets::redact;

/// Reserves and settles model calls for a run, a task and an attempt.
pub(crate) struct Account {
    pub(crate) context: Context,
    pub(crate) run: RunId,
    pub(crate) task: Option<TaskId>,
    pub(crate) attempt: Option<i64>,
    /// The waits for a slot of the provider, for calls of a worker.
    pub(crate) provider_wait: Option<Arc<ProviderWait>>,
}

#[async_trait]
impl Ledger for Account {
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let asked = call.upper_bound.unwrap_or_default();
        let reservation = Reservation {
            run: self.run,
            task: self.task,
            attempt: self.attempt,
            role: call.role.as_str(),
            provider: call.provider.clone(),
            model: call.model.clone(),
            upper_bound: asked,
        };
        let context = &self.context;
        let reserve = || context.store.reserve(context.holder, &reservation);
        match RetryPolicy::until(&context.drain).run(reserve).await {
            Ok(Reserved::Yes(call)) => Ok(CallId(call)),
            Ok(Reserved::OverCap(spending)) => Err(Refusal::Budget {
                limit: spending.cap.unwrap_or_default(),
                spent: spending.spent,
                reserved: spending.reserved,
                asked,
            }),
            Ok(Reserved::Ended) => Err(Refusal::Stopped("the run has ended".into())),
            Err(error) => Err(Refusal::Store(error.to_string())),
        }
    }

    async fn settle(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String> {
        let settled = self.record(call, outcome).await;
        if let Some(wait) = &self.provider_wait {
            wait.reacquire_worker_slot().await;
        }
        settled
    }

    fn take_slot(&self) -> Option<ProviderSlot> {
        self.provider_wait.as_ref()?.take_first_slot()
    }

    fn slot_wait_started(&self, provider: &str) {
        if let Some(wait) = &self.provider_wait {
            wait.started(provider);
        }
    }

    fn slot_acquired(&self) {
        if let Some(wait) = &self.provider_wait {
            wait.ended();
        }
    }

    fn retrying(&self, _call: CallId, why: &'static str, wait: Duration) {
        if self.task.is_some() && why == "rate_limited" {
            telemetry::task::blocked("rate_limit", wait);
        }
        let event = Event::ModelRetried {
            why: why.to_owned(),
            wait_ms: wait.as_millis() as u64,
        };
        let (context, run, task) = (self.context.clone(), self.run, self.task);
        // In the background: the call must not wait for its display.
        tokio::spawn(async move {
            match context.store.append(run, &[(task, event)]).await {
                Ok(()) => context.wake.progressed(),
                Err(error) => tracing::debug!(%error, "Could not record a retry of a model call"),
            }
        });
    }
}

impl Account {
    async fn record(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String> {
        let (store, drain) = (&self.context.store, &self.context.drain);
        if outcome.status == CallStatus::Lost {
            let error = outcome.error.as_deref().map(redact).unwrap_or_default();
            let (requests, duration_ms) = (outcome.attempts as i32, outcome.duration.as_millis() as i64);
            let lose = || store.lose_call(call.0, &error, requests, duration_ms);
            let lost = RetryPolicy::until(drain).run(lose).await;
            return lost.map_err(|error| error.to_string());
        }
        let settlement = Settlement {
            status: outcome.status.as_str().to_owned(),
            model: Some(outcome.model.clone()),
            cost: outcome.cost,
            tokens: outcome
                .usage
                .map(|usage| [usage.input, usage.output, usage.cached, usage.reasoning].map(|tokens| tokens as i64)),
            requests: outcome.attempts as i32,
            duration_ms: outcome.duration.as_millis() as i64,
            first_token_ms: outcome.time_to_first_token.map(|time| time.as_millis() as i64),
            error: outcome.error.as_deref().map(redact),
        };
        RetryPolicy::until(drain)
            .run(|| store.settle(call.0, &settlement))
            .await
            .map_err(|error| error.to_string())
    }
}
