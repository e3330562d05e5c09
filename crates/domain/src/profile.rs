//! What a kind of worker may do, as far as the rules care.

use crate::names::named;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(Change);

/// Whether a worker's tree must differ from where it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// An empty change is a failure: this worker was asked to make something.
    Required,
    /// An empty change is fine: this worker may only have had to look.
    Optional,
    /// Any change is dropped: this worker may read only.
    None,
}

/// Names of the profiles that come with the product.
pub const BUILT_IN: [&str; 3] = ["planner", "coder", "tester"];

/// The rule on changes for a profile that comes with the product; `None` for one that does not.
pub fn built_in_change(profile: &str) -> Option<Change> {
    match profile {
        "planner" => Some(Change::None),
        "coder" => Some(Change::Required),
        "tester" => Some(Change::Optional),
        _ => None,
    }
}
