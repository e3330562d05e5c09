//! Amounts of money.

use domain::NanoDollars;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount of money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// Billionths of a dollar, exact.
    pub nanodollars: i64,
    /// Dollars, for display.
    pub dollars: f64,
}

impl From<NanoDollars> for Amount {
    fn from(amount: NanoDollars) -> Self {
        Self {
            nanodollars: amount.0,
            dollars: amount.dollars(),
        }
    }
}
