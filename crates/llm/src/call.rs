//! One model call: attempts until one is answered, or until retrying would not help.

use crate::{
    chat::{Answer, Assembly, Chunk},
    error::TimeoutKind,
    failure::{Failure, FailureKind},
    ledger::{CallId, Ledger},
    provider::{Client, ReadyProvider},
    retry::{FullJitter, RetryPolicy},
    settings::{Retries, Timeouts},
};
use backon::Retryable;
use futures_util::StreamExt;
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};
use telemetry::{
    llm::LlmStatus,
    span::{SpanGuard, Value as Attribute},
};
use tokio::{sync::OwnedSemaphorePermit, time};

/// How long to wait for the usage after an otherwise complete answer.
const USAGE_GRACE: Duration = Duration::from_secs(5);

/// Everything a call needs.
pub(crate) struct Call<'a> {
    pub(crate) provider: &'a ReadyProvider,
    pub(crate) client: Client<'a>,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) retries: &'a Retries,
    pub(crate) body: Value,
    /// The model's name in the metrics.
    pub(crate) label: &'a str,
    pub(crate) deadline: Instant,
    /// The time from the start of the call to its deadline.
    pub(crate) allowed: Duration,
    /// Notified of retries and of waits for a slot.
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) id: CallId,
    pub(crate) provider_name: &'a str,
}

/// An answer and the time to its first token.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) time_to_first_token: Option<Duration>,
}

/// How a call went.
pub(crate) struct CallResult {
    pub(crate) result: Result<Answered, Failure>,
    pub(crate) attempts: u32,
    /// Whether the provider accepted a request without answering it, so that it may bill it.
    pub(crate) may_be_billed: bool,
    pub(crate) duration: Duration,
}

impl Call<'_> {
    /// Makes attempts with waits in between, until one is answered.
    pub(crate) async fn run(&self, span: &mut Option<SpanGuard>) -> CallResult {
        let started = Instant::now();
        let attempts = AtomicU32::new(0);
        let may_be_billed = AtomicBool::new(false);
        let mut policy = RetryPolicy {
            deadline: self.deadline,
            max_delay: self.retries.max_delay,
            max_garbage: self.retries.max_garbage,
            garbage: 0,
        };
        let result = (|| self.attempt(&attempts, &may_be_billed))
            .retry(FullJitter::new(self.retries))
            .sleep(time::sleep)
            .when(|failure| failure.retry_reason().is_some())
            .adjust(|failure, jitter| policy.wait(failure, jitter))
            .notify(|failure, wait| self.report_retry(failure, wait, attempts.load(Ordering::Relaxed), span))
            .await;
        CallResult {
            result,
            attempts: attempts.into_inner(),
            may_be_billed: may_be_billed.into_inner(),
            duration: started.elapsed(),
        }
    }

    fn report_retry(&self, failure: &Failure, wait: Duration, attempts: u32, span: &mut Option<SpanGuard>) {
        let reason = failure.name();
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        telemetry::llm::retried(reason);
        self.ledger.retrying(self.id, reason, wait);
        tracing::info!(model = self.label, reason, wait_ms, attempts, "retrying a model call");
        if let Some(span) = span {
            let attributes = [
                ("reason", Attribute::from(reason)),
                ("wait_ms", Attribute::from(wait_ms)),
                ("attempt", Attribute::from(i64::from(attempts))),
            ];
            span.event("retry", attributes);
        }
    }

    async fn attempt(&self, attempts: &AtomicU32, may_be_billed: &AtomicBool) -> Result<Answered, Failure> {
        let _slot = time::timeout_at(self.deadline.into(), self.acquire_slot())
            .await
            .map_err(|_| Failure::refused(self.out_of_time(TimeoutKind::Deadline)))?;
        attempts.fetch_add(1, Ordering::Relaxed);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let (limit, kind) = if left < self.timeouts.total {
            (left, TimeoutKind::Deadline)
        } else {
            (self.timeouts.total, TimeoutKind::Total)
        };
        let mut record = AttemptRecord::start(self.label);
        let result = time::timeout(limit, self.exchange(&mut record))
            .await
            .unwrap_or_else(|_| Err(Failure::accepted(self.out_of_time(kind))));
        record.end(result.as_ref().map_or_else(Failure::status, |_| LlmStatus::Success));
        if let Err(failure) = &result {
            may_be_billed.fetch_or(failure.accepted, Ordering::Relaxed);
        }
        let time_to_first_token = record.time_to_first_token;
        result.map(|answer| Answered {
            answer,
            time_to_first_token,
        })
    }

    fn out_of_time(&self, kind: TimeoutKind) -> FailureKind {
        let after = match kind {
            TimeoutKind::Deadline => self.allowed,
            TimeoutKind::Total => self.timeouts.total,
            TimeoutKind::Header => self.timeouts.header,
            TimeoutKind::StreamIdle => self.timeouts.stream_idle,
        };
        FailureKind::Timeout { kind, after }
    }

    /// Waits for a slot among the provider's concurrent requests, and for its rate limit.
    async fn acquire_slot(&self) -> OwnedSemaphorePermit {
        let held = self.ledger.take_slot();
        let held = held.filter(|slot| slot.provider == self.provider_name);
        let slot = match held
            .map(|slot| slot.permit)
            .or_else(|| self.provider.slots.try_acquire())
        {
            Some(slot) => slot,
            None => {
                self.ledger.slot_wait_started(self.provider_name);
                let slot = self.provider.slots.acquire().await;
                self.ledger.slot_acquired();
                slot
            }
        };
        if let Some(rate) = &self.provider.rate {
            rate.until_ready().await;
        }
        slot
    }

    async fn exchange(&self, record: &mut AttemptRecord<'_>) -> Result<Answer, Failure> {
        let (client, broken) = self.client.for_attempt();
        let chat = client.chat();
        let mut assembly = Assembly::default();
        if !self.provider.stream {
            let chunk: Chunk = chat.create_byot(&self.body).await?;
            assembly.absorb(chunk)?;
            return assembly.finish();
        }
        let mut stream = chat.create_stream_byot::<_, Chunk>(&self.body).await?;
        loop {
            let idle = self.timeouts.stream_idle;
            let silence = if assembly.is_complete() {
                idle.min(USAGE_GRACE)
            } else {
                idle
            };
            let chunk = match time::timeout(silence, stream.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => break,
                // Only the usage is missing, so the answer is kept.
                Ok(Some(Err(_))) | Err(_) if assembly.is_complete() => break,
                Ok(Some(Err(error))) => {
                    return Err(broken.get().cloned().unwrap_or_else(|| error.into()));
                }
                Err(_) => return Err(Failure::accepted(self.out_of_time(TimeoutKind::StreamIdle))),
            };
            assembly.absorb(chunk)?;
            if assembly.has_started() {
                record.first_token();
            }
        }
        assembly.finish()
    }
}

/// Records an HTTP request when it ends or its future is dropped: the provider received it.
struct AttemptRecord<'a> {
    label: &'a str,
    started: Instant,
    time_to_first_token: Option<Duration>,
    status: LlmStatus,
}

impl<'a> AttemptRecord<'a> {
    fn start(label: &'a str) -> Self {
        Self {
            label,
            started: Instant::now(),
            time_to_first_token: None,
            status: LlmStatus::Cancelled,
        }
    }

    fn first_token(&mut self) {
        let elapsed = self.started.elapsed();
        self.time_to_first_token.get_or_insert(elapsed);
    }

    /// Sets the status; dropping this records it.
    fn end(&mut self, status: LlmStatus) {
        self.status = status;
    }
}

impl Drop for AttemptRecord<'_> {
    fn drop(&mut self) {
        telemetry::llm::request(
            self.label,
            self.status,
            self.started.elapsed(),
            self.time_to_first_token,
        );
        if self.status == LlmStatus::RateLimited {
            telemetry::llm::rate_limited(self.label);
        }
    }
}
