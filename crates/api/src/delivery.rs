//! The delivery of a run's branch.

use crate::schema;
use domain::delivery::{Delivery as Recorded, DeliveryResult, DeliveryStep as Step};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The delivery that was requested last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Delivery {
    /// Whether it is in progress.
    pub in_progress: bool,
    /// When it is retried; null unless it waits for a retry.
    #[serde(with = "time::serde::rfc3339::option")]
    pub retry_at: Option<OffsetDateTime>,
    /// The finished steps, in order.
    pub steps: Vec<DeliveryStep>,
}

/// A finished step of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryStep {
    /// The step.
    #[schema(schema_with = schema::delivery_step)]
    pub step: Step,
    /// Its result.
    #[schema(schema_with = schema::delivery_result)]
    pub result: DeliveryResult,
    /// What happened, and where something went wrong, what to do.
    pub message: String,
    /// A link to the result.
    pub url: Option<String>,
}

impl Delivery {
    /// From the record; `in_progress` is `Some` with the time of the retry while a delivery is in progress.
    pub fn new(recorded: Recorded, in_progress: Option<Option<OffsetDateTime>>) -> Self {
        let steps = recorded.steps.into_iter().map(|end| DeliveryStep {
            step: end.step,
            result: end.result,
            message: end.said,
            url: end.url,
        });
        Self {
            in_progress: in_progress.is_some(),
            retry_at: in_progress.flatten(),
            steps: steps.collect(),
        }
    }

    /// Whether a requested step failed.
    pub fn is_incomplete(&self) -> bool {
        self.steps.iter().any(|step| step.result.is_bad())
    }
}
