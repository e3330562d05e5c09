//! How a run's work was handed over.

use crate::schema;
use domain::delivery::{Delivery as Recorded, DeliveryResult, DeliveryStep as Step};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// What came of handing a run's work over, since that was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Delivery {
    /// Whether it waits or is under way.
    pub under_way: bool,
    /// When it is tried again, where it waits for that.
    #[serde(with = "time::serde::rfc3339::option")]
    pub again_at: Option<OffsetDateTime>,
    /// The steps that came to something, in their order.
    pub steps: Vec<DeliveryStep>,
}

/// A step of a delivery that came to something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryStep {
    /// Which step.
    #[schema(schema_with = schema::delivery_step)]
    pub step: Step,
    /// What came of it.
    #[schema(schema_with = schema::delivery_result)]
    pub result: DeliveryResult,
    /// The same in a sentence, with the way out where there has to be one.
    pub said: String,
    /// Where the result can be looked at.
    pub url: Option<String>,
}

impl Delivery {
    /// As it is recorded; `again_at` of a delivery that waits or is under way.
    pub fn new(recorded: Recorded, under_way: Option<Option<OffsetDateTime>>) -> Self {
        let steps = recorded.steps.into_iter().map(|end| DeliveryStep {
            step: end.step,
            result: end.result,
            said: end.said,
            url: end.url,
        });
        Self {
            under_way: under_way.is_some(),
            again_at: under_way.flatten(),
            steps: steps.collect(),
        }
    }

    /// Whether something should have been done that was not.
    pub fn is_incomplete(&self) -> bool {
        self.steps.iter().any(|step| step.result.is_bad())
    }
}
