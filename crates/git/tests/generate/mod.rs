//! Histories made up for tests and measurements. The same seed gives the same history.

pub(crate) mod ordinary;
pub(crate) mod rough;
pub(crate) mod source;
