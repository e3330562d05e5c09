//! The configured models, and one call through ledger, provider and telemetry.

use crate::{
    call::{Answered, Call, CallResult},
    chat::{self, Answer, Dialect},
    error::Error,
    ledger::{CallId, CallOutcome, CallStatus, Ledger, PlannedCall, Refusal},
    plan,
    prices::{Prices, StructuredBy},
    provider::ReadyProvider,
    settings::{Settings, Wire},
    slots::ProviderSlot,
    tokens,
    types::{ModelRef, Reply, Request, Usage},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use telemetry::{
    TraceContext,
    span::{self, SpanGuard, SpanKind},
};
use tokio::sync::OwnedSemaphorePermit;

/// The configured models.
pub struct Models {
    settings: Settings,
    providers: BTreeMap<String, ReadyProvider>,
}

impl Models {
    /// Checks the settings and builds the clients. Sends nothing.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let providers = settings
            .providers
            .iter()
            .map(|(name, provider)| Ok((name.clone(), ReadyProvider::new(name, provider, &settings)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { settings, providers })
    }

    /// Checks whether a model can be called: its provider is configured and has its key, and the model has a price if there
    /// is a dollar cap.
    pub fn check(&self, model: &ModelRef, dollar_cap: bool) -> Result<(), Error> {
        self.provider(model)?.client(&model.provider)?;
        let is_priced = self
            .settings
            .prices
            .find(&model.provider, &model.model)
            .is_some_and(|(_, facts)| facts.is_priced());
        if dollar_cap && !is_priced {
            let refusal = Refusal::Unpriced {
                model: model.model.clone(),
            };
            return Err(Error::Refused {
                on: model.clone(),
                refusal,
            });
        }
        Ok(())
    }

    /// The context window of a model in tokens, if known.
    pub fn window(&self, model: &ModelRef) -> Option<u64> {
        self.settings.prices.find(&model.provider, &model.model)?.1.window
    }

    /// A slot of the model's provider, if one is free now; `None` if all are in use.
    ///
    /// # Errors
    /// When the provider is not configured.
    pub fn try_slot(&self, model: &ModelRef) -> Result<Option<ProviderSlot>, Error> {
        let permit = self.provider(model)?.slots.try_acquire();
        Ok(permit.map(|permit| slot(model, permit)))
    }

    /// A slot of the model's provider, as soon as one is free.
    ///
    /// # Errors
    /// When the provider is not configured.
    pub async fn slot(&self, model: &ModelRef) -> Result<ProviderSlot, Error> {
        let permit = self.provider(model)?.slots.acquire().await;
        Ok(slot(model, permit))
    }

    /// The providers whose slots are all in use.
    pub fn full_providers(&self) -> Vec<String> {
        let full = self.providers.iter().filter(|(_, provider)| provider.slots.are_full());
        full.map(|(name, _)| name.clone()).collect()
    }

    /// The names of the configured providers.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Prices and limits of models.
    pub fn prices(&self) -> &Prices {
        &self.settings.prices
    }

    /// Calls a model: reserves the upper bound of its cost, makes attempts until one is answered, and settles.
    ///
    /// Dropping the future ends the call; its reservation then stays.
    pub async fn complete(
        &self,
        request: &Request,
        ledger: &dyn Ledger,
        trace: Option<&TraceContext>,
    ) -> Result<Reply, Error> {
        let on = &request.model;
        let provider = self.provider(on)?;
        let client = provider.client(&on.provider)?;
        let bounds = plan::bounds(request, &self.settings.prices)?;
        let planned = PlannedCall {
            provider: on.provider.clone(),
            model: on.model.clone(),
            role: request.role,
            upper_bound: bounds.cost,
            input_estimate: bounds.input.high,
            max_output: bounds.max_output,
        };
        let reserved = ledger.reserve(&planned).await;
        let id = reserved.map_err(|refusal| Error::Refused {
            on: on.clone(),
            refusal,
        })?;
        let mut span = trace.map(|trace| {
            span::child(
                trace,
                SpanKind::Chat {
                    provider: &on.provider,
                    model: &on.model,
                },
            )
        });
        let deadline = self.deadline(request);
        let call = Call {
            provider,
            client,
            timeouts: &self.settings.timeouts,
            retries: &self.settings.retries,
            body: self.body(provider, request, bounds.max_output),
            label: self.label(&on.provider, &on.model),
            deadline,
            allowed: deadline.saturating_duration_since(Instant::now()),
            ledger,
            id,
            provider_name: &on.provider,
        };
        let CallResult {
            result,
            attempts,
            may_be_billed,
            duration,
        } = call.run(&mut span).await;
        let failure = match result {
            Ok(Answered {
                answer,
                time_to_first_token,
            }) => {
                let mut reply = self.price(request, bounds.input.likely, answer);
                reply.duration = duration;
                reply.attempts = attempts;
                self.record(request, &reply, span);
                settle(ledger, id, &answered(&reply, time_to_first_token)).await;
                return Ok(reply);
            }
            Err(failure) => failure,
        };
        if let Some(span) = &mut span {
            span.fail(failure.name());
        }
        let error = failure.into_error(on.clone(), attempts, provider.key());
        let status = if may_be_billed {
            CallStatus::Lost
        } else {
            CallStatus::Failed
        };
        settle(ledger, id, &unanswered(status, request, attempts, duration, &error)).await;
        Err(error)
    }

    fn provider(&self, model: &ModelRef) -> Result<&ReadyProvider, Error> {
        self.providers
            .get(&model.provider)
            .ok_or_else(|| Error::UnknownProvider {
                provider: model.provider.clone(),
                known: self.providers.keys().cloned().collect(),
            })
    }

    fn body(&self, provider: &ReadyProvider, request: &Request, max_output: u64) -> Value {
        let model = self.settings.prices.find(&request.model.provider, &request.model.model);
        let by_model = model.and_then(|(_, facts)| facts.structured);
        let dialect = Dialect {
            stream: provider.stream,
            output_limit: provider.output_limit,
            structured: provider.structured.or(by_model).unwrap_or(StructuredBy::JsonSchema),
        };
        match provider.wire {
            Wire::ChatCompletions => chat::body(request, max_output, dialect),
        }
    }

    fn deadline(&self, request: &Request) -> Instant {
        let ours = Instant::now() + self.settings.retries.total;
        request.deadline.map_or(ours, |deadline| deadline.min(ours))
    }

    /// The model's name in metrics: the price table's, so that dated names don't create new series.
    fn label<'a>(&'a self, provider: &str, model: &'a str) -> &'a str {
        self.settings
            .prices
            .find(provider, model)
            .map_or(model, |(name, _)| name)
    }

    fn price(&self, request: &Request, input_estimate: u64, answer: Answer) -> Reply {
        let estimate = || Usage {
            input: input_estimate,
            output: tokens::of_answer(answer.content.as_deref(), &answer.tool_calls).likely,
            ..Usage::default()
        };
        let usage = answer.usage.unwrap_or_else(estimate);
        let asked = &request.model;
        let model = answer.model.unwrap_or_else(|| asked.model.clone());
        Reply {
            cost: self.settings.prices.cost(&asked.provider, &asked.model, &model, &usage),
            content: answer.content,
            tool_calls: answer.tool_calls,
            usage,
            usage_reported: answer.usage.is_some(),
            stop: answer.stop,
            model,
            duration: Duration::ZERO,
            attempts: 0,
        }
    }

    fn record(&self, request: &Request, reply: &Reply, span: Option<SpanGuard>) {
        let Usage {
            input,
            output,
            cached,
            reasoning,
            ..
        } = reply.usage;
        let label = self.label(&request.model.provider, &request.model.model);
        telemetry::llm::usage(
            label,
            request.role.as_str(),
            input,
            output,
            cached,
            reasoning,
            reply.cost,
        );
        if let Some(mut span) = span {
            span.answer(&reply.model, reply.stop.as_str(), input, output);
        }
    }
}

fn slot(model: &ModelRef, permit: OwnedSemaphorePermit) -> ProviderSlot {
    ProviderSlot {
        provider: model.provider.clone(),
        permit,
    }
}

fn answered(reply: &Reply, time_to_first_token: Option<Duration>) -> CallOutcome {
    CallOutcome {
        status: CallStatus::Answered,
        usage: Some(reply.usage),
        cost: reply.cost,
        model: reply.model.clone(),
        attempts: reply.attempts,
        duration: reply.duration,
        error: None,
        time_to_first_token,
    }
}

fn unanswered(status: CallStatus, request: &Request, attempts: u32, duration: Duration, error: &Error) -> CallOutcome {
    CallOutcome {
        status,
        usage: None,
        cost: None,
        model: request.model.model.clone(),
        attempts,
        duration,
        error: Some(error.to_string()),
        time_to_first_token: None,
    }
}

/// Settles a call. If that fails, the reservation stays and the answer is kept.
async fn settle(ledger: &dyn Ledger, call: CallId, outcome: &CallOutcome) {
    if let Err(error) = ledger.settle(call, outcome).await {
        tracing::error!(call = call.0, model = outcome.model, %error, "could not settle a model call");
    }
}
