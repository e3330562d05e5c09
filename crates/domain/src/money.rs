//! Money as an integer: nano-dollars, so that sums are exact and no rounding hides a cost.

use crate::names::named;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Sub},
};
use strum::{EnumCount, EnumString, VariantArray, VariantNames};

named!(CallState);

/// An amount of money in billionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoDollars(pub i64);

impl NanoDollars {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The nearest amount to a number of dollars; `None` unless it is finite, not negative and under nine billion.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (dollars.is_finite() && (0.0..9e9).contains(&dollars)).then(|| Self((dollars * 1e9).round() as i64))
    }

    /// As a floating-point number of dollars, for display and metrics only.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The sum, stopping at the largest amount rather than wrapping around.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for NanoDollars {
    /// Two decimals from a dollar up, four below, so that small costs don't read as nothing.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.0.abs() >= 1_000_000_000 || self.0 == 0 {
            2
        } else {
            4
        };
        write!(formatter, "${:.*}", decimals, self.dollars())
    }
}

impl Add for NanoDollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl AddAssign for NanoDollars {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for NanoDollars {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for NanoDollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// State of a model call in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum CallState {
    /// Its upper bound is reserved.
    Reserved,
    /// Its cost is known and counted.
    Settled,
    /// Its answer was lost. Its cost is unknown, so the upper bound stays reserved.
    Lost,
}

impl CallState {
    /// Whether an answer can still settle it. A lost call is settled when its answer arrives after all.
    pub const fn can_be_settled(self) -> bool {
        match self {
            Self::Reserved | Self::Lost => true,
            Self::Settled => false,
        }
    }
}
